//! Rules about trees, classic models, and model packages.

use super::rules;

rules! {}
