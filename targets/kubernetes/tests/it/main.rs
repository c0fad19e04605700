//! A real API server, and replicas that contend for a Lease.

mod election;
