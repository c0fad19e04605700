//! A real API server, and what it makes of Aurora's custom resources.

mod admission;
mod control_plane;
mod custom_resources;
mod deploy;
mod gateway;
mod kubelet;
mod proxy;
mod rules;
mod server;
mod world;
