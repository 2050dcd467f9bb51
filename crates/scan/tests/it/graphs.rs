//! Computation graphs.
