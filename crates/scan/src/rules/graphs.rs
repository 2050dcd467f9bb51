//! Rules about computation graphs.

use super::rules;

rules! {}
