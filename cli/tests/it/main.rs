//! Whole journeys with the built binary: a repository, commits, live traffic.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests, outside the functions that clippy knows as tests"
)]

mod happened;
mod harness;
mod image;
mod imported;
mod limits;

mod access;
mod broken;
mod clients;
mod clocks;
mod cluster;
mod commands;
mod commits;
mod container;
mod contract;
mod control_plane;
mod damage;
mod dashboard;
mod data;
mod described;
mod doctor;
mod editing;
mod elsewhere;
mod examples;
mod exit_codes;
mod faults;
mod first_hour;
mod git;
mod jobs;
mod model_signing;
mod monitoring;
mod onnx_runtime;
mod openapi;
mod operated;
mod pods;
mod programs;
mod proposed;
mod pull_request;
mod reading;
mod reconciled;
mod release_before;
mod remote;
mod routed;
mod scored;
mod service;
mod serving;
mod signed;
mod starting;
mod stopped;
mod terminal;
mod told;
mod trained;
mod validate;
#[path = "../../../reconciler/tests/it/versions.rs"]
mod versions;
mod workflows;
