//! Files that hold tensors.
