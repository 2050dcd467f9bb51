//! Rules about dependencies and secrets.

use super::rules;

rules! {}
