//! TLS of a listener: a certificate and its key from two files, read again as they change.
//!
//! What counts is their content, looked at every few seconds: links that are swapped, as those of a Secret, tell no watcher.
//! What does not fit together or cannot be read changes nothing: the one in use stays, and the log says so once.

mod expiry;
mod probe;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use planner::Timestamp;
use planner::names::Digest;
use registry::files::{SecretError, read_secret};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::metrics::ListenerMeters;
pub use probe::probe;

/// The largest file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most certificates of a chain.
const CHAIN_MAX: usize = 16;
/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a connection may buffer of what it writes.
const BUFFER_BYTES_MAX: usize = 16 << 10;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate's file cannot be read.
    #[error("certificate {path}: {why}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The key's file cannot be read.
    #[error("key {path} {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// The key's file holds no key.
    #[error("key {path}: {why}")]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The two do not fit.
    #[error("certificate {certificate} and key {key}: {why}")]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        why: rustls::Error,
    },
}

/// A certificate and its key, by files; cheap to clone.
#[derive(Clone)]
pub struct Tls {
    files: Arc<Files>,
    acceptor: TlsAcceptor,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.files.certificate).finish()
    }
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    every: Duration,
    shown: ArcSwap<Shown>,
}

/// What clients are shown.
#[derive(Debug)]
struct Shown {
    certified: Arc<CertifiedKey>,
    expires: Timestamp,
    /// Of what the files said: the key's text is not kept.
    digests: [Digest; 2],
}

/// What the files say.
struct Texts {
    chain: String,
    key: String,
}

impl Texts {
    fn digests(&self) -> [Digest; 2] {
        [&self.chain, &self.key].map(|text| Digest::of(text.as_bytes()))
    }
}

impl Tls {
    /// Reads a chain of certificates, the listener's own first, and its key, both in PEM.
    ///
    /// # Errors
    ///
    /// If one of them cannot be read, others may read the key, or the key is not that of the first certificate.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::looked_at(certificate, key, LOOK)
    }

    /// As [`Self::from_files`], looking at the files so often.
    pub(crate) fn looked_at(certificate: &Path, key: &Path, every: Duration) -> Result<Self, TlsError> {
        let shown = read(certificate, key).and_then(|texts| parse(certificate, key, &texts))?;
        let files = Arc::new(Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            every,
            shown: ArcSwap::from_pointee(shown),
        });
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("invariant: ring speaks the versions that rustls has by default")
            .with_no_client_auth()
            .with_cert_resolver(files.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { files, acceptor })
    }

    /// Returns the same for a listener of HTTP/2, whose clients insist that it says so in the handshake.
    pub(crate) fn of_http2(&self) -> Self {
        let mut config = ServerConfig::clone(self.acceptor.config());
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            files: self.files.clone(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }

    /// Shakes hands within [`HANDSHAKE_TIMEOUT`].
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let limited = |connection: &mut rustls::ServerConnection| {
            connection.set_buffer_limit(Some(BUFFER_BYTES_MAX));
        };
        let accepting = self.acceptor.accept_with(stream, limited);
        tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting)
            .await
            .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Looks at the files until what is returned is dropped; `meters` show until when the certificate is valid.
    pub(super) fn watched(&self, meters: &ListenerMeters) -> JoinSet<()> {
        let mut watching = JoinSet::new();
        let (files, meters) = (self.files.clone(), meters.clone());
        meters.certificate_expires(files.shown.load().expires);
        watching.spawn(async move { files.watch(&meters).await });
        watching
    }
}

impl Files {
    async fn watch(self: Arc<Self>, meters: &ListenerMeters) {
        let mut trouble = None;
        loop {
            tokio::time::sleep(self.every).await;
            let files = self.clone();
            let looked = tokio::task::spawn_blocking(move || files.look()).await;
            let Ok(looked) = looked else { continue };
            match looked {
                Ok(false) => trouble = None,
                Ok(true) => {
                    trouble = None;
                    let expires = self.shown.load().expires;
                    meters.certificate_expires(expires);
                    tracing::info!(certificate = %self.certificate.display(), %expires, "reread the certificate");
                }
                Err(error) => {
                    let said = error.to_string();
                    if trouble.as_ref() != Some(&said) {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "the certificate in use stays: its files cannot be used"
                        );
                        trouble = Some(said);
                    }
                }
            }
        }
    }

    /// Takes over what the files say; says whether that is anything new.
    fn look(&self) -> Result<bool, TlsError> {
        let texts = read(&self.certificate, &self.key)?;
        if self.shown.load().digests == texts.digests() {
            return Ok(false);
        }
        let shown = parse(&self.certificate, &self.key, &texts)?;
        self.shown.store(Arc::new(shown));
        Ok(true)
    }
}

impl ResolvesServerCert for Files {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.load().certified.clone())
    }
}

/// Reads both files; of the key nobody else may.
fn read(certificate: &Path, key: &Path) -> Result<Texts, TlsError> {
    let failed = |why: String| TlsError::Certificate {
        path: certificate.to_owned(),
        why,
    };
    let chain = read_chain(certificate).map_err(|error| failed(error.to_string()))?;
    let key = read_secret(key, FILE_BYTES_MAX).map_err(|source| TlsError::Key {
        path: key.to_owned(),
        source,
    })?;
    Ok(Texts { chain, key })
}

fn read_chain(path: &Path) -> io::Result<String> {
    // Before it is opened: opening a pipe waits.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("is no regular file"));
    }
    let mut text = String::new();
    File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// Takes both apart and sees that they fit.
fn parse(certificate: &Path, key: &Path, texts: &Texts) -> Result<Shown, TlsError> {
    let wrong = |why: String| TlsError::Certificate {
        path: certificate.to_owned(),
        why,
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(texts.chain.as_bytes())
        .take(CHAIN_MAX + 1)
        .collect();
    let chain = chain.map_err(|error| wrong(error.to_string()))?;
    if chain.len() > CHAIN_MAX {
        return Err(wrong(format!("holds more than {CHAIN_MAX} certificates")));
    }
    let own = chain
        .first()
        .ok_or_else(|| wrong("holds no certificate in PEM".to_owned()))?;
    let expires = expiry::of(own).ok_or_else(|| wrong("does not say until when it is valid".to_owned()))?;
    // What stands in the key's file is not shown: the reader's errors do not.
    let private =
        PrivateKeyDer::from_pem_slice(texts.key.as_bytes()).map_err(|_malformed| TlsError::NoKey {
            path: key.to_owned(),
            why: "holds no private key in PEM".to_owned(),
        })?;
    let unfit = |why| TlsError::Unfit {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        why,
    };
    let certified = CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(unfit)?;
    Ok(Shown {
        certified: Arc::new(certified),
        expires,
        digests: texts.digests(),
    })
}
