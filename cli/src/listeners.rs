//! The two listeners: where they listen, who may ask, and what stands in the way.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use clap::Args;
use server::Keys;
use server::keys::{KeysError, require_loopback};

use crate::failure::{Context as _, Failure};

/// Where inference is answered.
#[derive(Debug, Clone, Args)]
pub(crate) struct InferenceArguments {
    /// Where inference requests are answered; port 0 takes a free one
    #[arg(
        long,
        env = "AURORA_INFERENCE",
        value_name = "ADDRESS",
        value_parser = address,
        default_value = "127.0.0.1:8080"
    )]
    inference: SocketAddr,

    /// The keys that may ask for predictions: lines `name:sha256hex`, reread on change
    #[arg(long, env = "AURORA_INFERENCE_KEYS_FILE", value_name = "PATH")]
    inference_keys_file: Option<PathBuf>,

    /// Answer requests from other machines without a key
    #[arg(long, env = "AURORA_INSECURE_INFERENCE")]
    insecure_inference: bool,
}

/// Where the control plane answers.
#[derive(Debug, Clone, Args)]
pub(crate) struct ControlPlaneArguments {
    /// Where the control plane answers; port 0 takes a free one
    #[arg(
        long,
        env = "AURORA_CONTROL_PLANE",
        value_name = "ADDRESS",
        value_parser = address,
        default_value = "127.0.0.1:8000"
    )]
    control_plane: SocketAddr,

    /// The keys that may ask the control plane: lines `name:sha256hex`, reread on change
    #[arg(long, env = "AURORA_API_KEYS_FILE", value_name = "PATH")]
    api_keys_file: Option<PathBuf>,
}

/// A bound listener and who may use it.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    /// The address, with the port that was taken where 0 was asked for.
    pub(crate) address: SocketAddr,
    keys: Keys,
}

impl InferenceArguments {
    /// Takes the port.
    pub(crate) fn bind(&self) -> Result<Bound, Failure> {
        let keys = keys(self.inference_keys_file.as_ref())?;
        if !self.insecure_inference {
            let flag = "--inference-keys-file";
            require_loopback(self.inference, &keys, flag).hint(|| {
                "`aurora key new NAME` makes a key; --insecure-inference lets everybody ask".to_owned()
            })?;
        }
        bind(self.inference, "--inference", keys)
    }
}

impl ControlPlaneArguments {
    /// Takes the port.
    pub(crate) fn bind(&self) -> Result<Bound, Failure> {
        let keys = keys(self.api_keys_file.as_ref())?;
        require_loopback(self.control_plane, &keys, "--api-keys-file")
            .hint(|| "`aurora key new NAME` makes a key".to_owned())?;
        bind(self.control_plane, "--control-plane", keys)
    }
}

impl Bound {
    /// Hands the listener to the asynchronous runtime, which must be running, and says who may ask. No other handle
    /// is left: the port is free as soon as the listener is dropped.
    pub(crate) fn into_parts(self) -> io::Result<(tokio::net::TcpListener, Keys)> {
        self.listener.set_nonblocking(true)?;
        Ok((tokio::net::TcpListener::from_std(self.listener)?, self.keys))
    }
}

/// Reads an address with its port; names are not looked up.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_wrong: std::net::AddrParseError| {
        "an IP address and a port from 0 to 65535 are expected, e.g. 127.0.0.1:8080".to_owned()
    })
}

fn keys(file: Option<&PathBuf>) -> Result<Keys, KeysError> {
    file.map_or_else(|| Ok(Keys::none()), |path| Keys::from_file(path))
}

fn bind(address: SocketAddr, flag: &str, keys: Keys) -> Result<Bound, Failure> {
    let bound = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    match bound {
        Ok((address, listener)) => Ok(Bound {
            listener,
            address,
            keys,
        }),
        Err(error) => {
            let failure = match error.kind() {
                io::ErrorKind::AddrInUse => Failure::new(format!("{address} is in use by another process")),
                _ => Failure::new(format!("cannot listen on {address}: {error}")),
            };
            Err(failure.hint(format!(
                "give another address with {flag}, e.g. {flag} 127.0.0.1:0 for a free port"
            )))
        }
    }
}
