//! Where gRPC is spoken, beside the listener of inference.

use std::net::{SocketAddr, TcpListener};

use clap::Args;
use server::keys::require_loopback;
use server::{Access, Limits};

use super::place::Place;
use super::{Bound, InferenceArguments, KEYS_HINT, ListenerArguments, bind};
use crate::failure::{Context as _, Failure};

/// The flag that says where it listens.
const GRPC: &str = "--grpc";

/// Where gRPC is spoken, if it is.
#[derive(Debug, Clone, Args)]
pub(crate) struct GrpcArguments {
    /// Answer the Open Inference Protocol by gRPC too: IP:PORT, localhost:PORT, or :PORT for all interfaces; port 0 takes a
    /// free one. The keys, the certificate and the limits are those of inference, of a quarter of its connections with up to
    /// 128 calls each [default: no gRPC]
    #[arg(long, env = "AURORA_GRPC", value_name = "ADDRESS")]
    grpc: Option<Place>,
}

/// The bound listener.
#[derive(Debug)]
pub(super) struct BoundGrpc {
    pub(super) sockets: Vec<TcpListener>,
    pub(super) address: SocketAddr,
}

impl InferenceArguments {
    /// Takes both ports.
    pub(crate) fn bind_with(
        &self,
        grpc: &GrpcArguments,
        listener: &ListenerArguments,
    ) -> Result<Bound, Failure> {
        let mut bound = self.bind(listener)?;
        if let Some(place) = grpc.grpc {
            if !self.insecure_inference {
                require_loopback(place.address(), &bound.access.keys, "--inference-keys-file")
                    .hint(|| KEYS_HINT.to_owned())?;
            }
            // Who may ask and what is taken is said by the listener of inference.
            let (access, limits) = (Access::default(), Limits::default());
            let Bound { sockets, address, .. } = bind(place, GRPC, access, limits, None, Some(&bound))?;
            bound.grpc = Some(BoundGrpc { sockets, address });
        }
        Ok(bound)
    }
}

impl Bound {
    /// Returns where gRPC is spoken, if it is.
    pub(crate) fn grpc(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().map(|grpc| grpc.address)
    }

    /// As [`Self::grpc`], for people: gRPC's clients take an address without a scheme.
    pub(crate) fn grpc_line(&self) -> Option<String> {
        let by = if self.tls.is_some() { " by TLS" } else { "" };
        self.grpc().map(|address| format!("gRPC           {address}{by}"))
    }
}
