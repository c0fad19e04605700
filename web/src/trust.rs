//! Whom TLS trusts: the system's authorities and those of a file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::WebError;

/// The largest file of authorities, in bytes.
const CA_BYTES_MAX: u64 = 1 << 20;

pub(crate) fn configuration(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, WebError> {
    let mut roots = RootCertStore::empty();
    // What the system has and cannot be read is missed where a certificate needs it, and told there.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        add(&mut roots, file).map_err(|why| WebError::Trust(format!("{}: {why}", file.display())))?;
    }
    let mut configuration = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("invariant: ring speaks the versions that rustls has by default")
        .with_root_certificates(roots)
        .with_no_client_auth();
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(configuration))
}

fn add(roots: &mut RootCertStore, file: &Path) -> Result<(), String> {
    let mut pem = Vec::new();
    let opened = File::open(file).map_err(|error| error.to_string())?;
    let read = opened.take(CA_BYTES_MAX + 1).read_to_end(&mut pem);
    read.map_err(|error| error.to_string())?;
    if pem.len() as u64 > CA_BYTES_MAX {
        return Err(format!("it has more than {CA_BYTES_MAX} bytes"));
    }
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.len() == before {
        return Err("it holds no certificate in PEM".to_owned());
    }
    Ok(())
}
