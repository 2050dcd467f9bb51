//! Datasets, images, sound, and hidden characters.
