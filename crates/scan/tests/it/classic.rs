//! Trees, classic models, and packages of models.
