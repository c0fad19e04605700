//! A real API server, and what it makes of Aurora's custom resources.

mod control_plane;
