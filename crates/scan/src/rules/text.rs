//! Rules about configurations, templates and programs.

use super::rules;

rules! {}
