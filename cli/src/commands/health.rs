//! `aurora health`: asks a listener of this machine whether it is well, for images that have no other client.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::answers::HealthAnswer;
use crate::arguments::OutputArguments;
use crate::failure::{Failure, NO};
use crate::listeners::{ControlPlaneAddress, InferenceAddress};
use crate::terminal::Terminal;

/// The most of an answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Flags of `aurora health`.
#[derive(Debug, Args)]
pub(crate) struct HealthArguments {
    /// Which listener is asked
    #[arg(long, value_name = "LISTENER", default_value = "inference")]
    listener: Asked,

    /// Ask whether it answers at all, and not whether it is ready
    #[arg(long)]
    live: bool,

    /// How long the answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,

    /// The certificate that the listener shows: then it is asked by TLS, and answers with no other
    #[arg(long, env = "AURORA_TLS_CERTIFICATE", value_name = "PATH")]
    tls_certificate: Option<PathBuf>,

    #[command(flatten)]
    inference: InferenceAddress,
    #[command(flatten)]
    control_plane: ControlPlaneAddress,
    #[command(flatten)]
    output: OutputArguments,
}

/// A listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Asked {
    /// That of inference.
    Inference,
    /// That of the control plane.
    ControlPlane,
}

pub(crate) fn run(arguments: &HealthArguments) -> Result<ExitCode, Failure> {
    let address = match arguments.listener {
        Asked::Inference => arguments.inference.reached_at(),
        Asked::ControlPlane => arguments.control_plane.reached_at(),
    };
    let path = match (arguments.listener, arguments.live) {
        (Asked::Inference, true) => "/v2/health/live",
        (Asked::Inference, false) | (Asked::ControlPlane, _) => "/health",
    };
    let timeout = Duration::from_secs(arguments.timeout.into());
    let (is_well, said) = match ask(address, path, timeout, arguments.tls_certificate.as_deref()) {
        Ok((status, body)) => (status == 200, format!("{status} {body}")),
        Err(error) => (false, error.to_string()),
    };
    let terminal = Terminal::new(arguments.output.output);
    if terminal.is_json() {
        terminal.document(&HealthAnswer {
            healthy: is_well,
            address,
            path,
            said: &said,
        })?;
    } else {
        let word = if is_well { "healthy" } else { "not healthy" };
        let scheme = arguments.tls_certificate.as_ref().map_or("http", |_path| "https");
        terminal.line(format!("{word}: {scheme}://{address}{path}: {}", said.trim_end()))?;
    }
    // Whoever asks in an image knows two answers: what does not answer is not healthy.
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    })
}

/// Returns the status of an answer and its body.
fn ask(
    address: SocketAddr,
    path: &str,
    timeout: Duration,
    certificate: Option<&Path>,
) -> io::Result<(u16, String)> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let answer = match certificate {
        None => exchange(stream, path),
        Some(certificate) => exchange(server::probe(certificate, stream)?, path),
    }?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("what answers there speaks no HTTP"))?;
    Ok((status, body.to_owned()))
}

fn exchange(mut stream: impl Read + Write, path: &str) -> io::Result<Vec<u8>> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}
