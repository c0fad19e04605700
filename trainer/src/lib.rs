//! Turns a dataset into a published model version.
