//! Keeps what serves equal to what Git says.
