//! Rules about datasets, images and sound.

use super::rules;

rules! {}
