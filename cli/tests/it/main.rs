//! Whole journeys with the built binary: a repository, commits, live traffic.

mod harness;

mod commands;
mod commits;
mod faults;
mod starting;
