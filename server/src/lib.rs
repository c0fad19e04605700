//! Answers: inference, control plane, status.
