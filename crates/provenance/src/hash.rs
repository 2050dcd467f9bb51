//! Hashing files and trees on all cores.
