//! Keras models, HDF5 and XML formats.
