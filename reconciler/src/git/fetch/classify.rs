//! What a failed fetch means. libgit2 says most of it in words only: this is the one place that reads them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chrono::DateTime;
use git2::cert::Cert;
use git2::{ErrorClass, ErrorCode};

use super::certificate::validity;
use crate::source::protocol::Fetch;
use crate::source::remote::{Credential, Fault, Presented, Scheme};

/// What was seen of the server before something failed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How often it asked who we are.
    pub(super) asked: u32,
    /// Whether it did not let us in.
    pub(super) is_refused: bool,
    /// Whether there is more than is taken.
    pub(super) is_too_large: bool,
    /// The key that it showed, as its owner publishes it.
    key: Option<String>,
    /// The certificate that it showed, in DER.
    certificate: Option<Vec<u8>>,
}

impl Seen {
    /// Takes in what the server shows of itself.
    pub(super) fn shown(&mut self, shown: &Cert<'_>) {
        if let Some(certificate) = shown.as_x509() {
            self.certificate = Some(certificate.data().to_vec());
        }
        if let Some(key) = shown.as_hostkey() {
            let kind = key.hostkey_type().map_or("unknown", |kind| kind.name());
            let hash = key.hash_sha256().map_or(String::new(), |hash| {
                format!(" SHA256:{}", STANDARD_NO_PAD.encode(hash))
            });
            self.key = Some(format!("{kind}{hash}"));
        }
    }
}

/// Says what an error means.
pub(super) fn fault(error: &git2::Error, seen: &Seen, request: &Fetch) -> Fault {
    let said = error.message();
    let message = said.to_owned();
    let host = format!("{}:{}", request.host, request.port);
    let status = said
        .rsplit_once("status code: ")
        .and_then(|(_, status)| status.parse().ok());
    match (error.class(), &seen.key, &seen.certificate) {
        _ if seen.is_too_large => Fault::TooLarge {
            what: "4 GiB, or 10 million objects, in one pack".to_owned(),
        },
        _ if seen.is_refused || matches!(status, Some(401 | 403)) => Fault::Refused {
            presented: presented(request),
        },
        (_, Some(key), _) if error.code() == ErrorCode::Certificate || said.contains("hostkey") => {
            Fault::HostKey {
                host,
                key: key.clone(),
            }
        }
        (ErrorClass::Ssl, _, Some(der)) if said.contains("certificate") => {
            certificate(host, der, request.now, message)
        }
        (ErrorClass::Net, _, _) if said.starts_with("cannot redirect") => Fault::Redirected {
            to: said
                .rsplit_once(" to ")
                .map_or(String::new(), |(_, to)| to.trim_matches('\'').to_owned()),
        },
        (ErrorClass::Http, _, _) if said.contains("proxy") || status == Some(407) => Fault::Proxy { message },
        // What libgit2 makes of a proxy's refusal whose page has no length.
        (ErrorClass::Http, _, _) if said.contains("parser") && request.means.proxy.is_some() => {
            Fault::Proxy { message }
        }
        (_, _, _) if error.code() == ErrorCode::Auth && request.means.proxy.is_some() => {
            Fault::Proxy { message }
        }
        (_, _, _) if error.code() == ErrorCode::Auth => Fault::Refused {
            presented: presented(request),
        },
        (ErrorClass::Http, _, _) => match status {
            Some(404 | 410) => Fault::NotFound,
            Some(status @ (429 | 503)) => Fault::Busy { status },
            Some(500..) => Fault::Broken { message },
            _ => Fault::NotGit { message },
        },
        (ErrorClass::Ssh, _, _) if is_no_repository(said) => Fault::NotFound,
        (ErrorClass::Ssh, None, _) => Fault::Unreachable { message },
        (ErrorClass::Net | ErrorClass::Os, _, _) if is_no_connection(said) => Fault::Unreachable { message },
        // It can be written, and lacks something that was there: another one is made once that is not the remote's fault.
        (ErrorClass::Odb, _, _) if error.code() == ErrorCode::NotFound => Fault::Broken { message },
        (ErrorClass::Os | ErrorClass::Odb | ErrorClass::Filesystem | ErrorClass::NoMemory, _, _) => {
            Fault::Mirror { message }
        }
        _ => Fault::Broken { message },
    }
}

fn certificate(host: String, der: &[u8], now: i64, message: String) -> Fault {
    match validity(der).zip(DateTime::from_timestamp(now, 0)) {
        Some(((from, until), now)) if now < from || until < now => Fault::CertificateTime {
            host,
            from: format!("{from:?}"),
            until: format!("{until:?}"),
            now: format!("{now:?}"),
        },
        Some(_) | None => Fault::Certificate { host, message },
    }
}

fn presented(request: &Fetch) -> Presented {
    match (&request.means.credential, request.scheme) {
        (Credential::Password { .. }, _) => Presented::Password,
        (Credential::Key(_), _) => Presented::Key,
        (Credential::Agent, _) => Presented::Agent,
        (Credential::Nothing, Scheme::Https) => Presented::Nobody,
        (Credential::Nothing, Scheme::Ssh) => Presented::NoKey,
    }
}

/// Git's own words, and those of the forges.
fn is_no_repository(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    [
        "not appear to be a git repository",
        "not found",
        "could not be found",
        "does not exist",
    ]
    .iter()
    .any(|words| said.contains(words))
}

fn is_no_connection(said: &str) -> bool {
    ["failed to connect", "failed to resolve", "could not connect"]
        .iter()
        .any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use ErrorClass::{Http, Indexer, Net, Odb, Os, Ssh, Ssl};
    use expect_test::expect;

    use super::*;
    use crate::source::protocol::Wanted;
    use crate::source::remote::Means;

    fn request(scheme: Scheme, credential: Credential, proxy: bool) -> Fetch {
        Fetch {
            mirror: Vec::new(),
            home: Vec::new(),
            address: String::new(),
            scheme,
            host: "forge.example".to_owned(),
            port: 443,
            user: "git".to_owned(),
            wanted: Wanted::Default,
            local: String::new(),
            is_anew: false,
            means: Means {
                credential,
                known_hosts: None,
                proxy: proxy.then(|| "http://u:secret@proxy:1".to_owned()),
            },
            now: 0,
        }
    }

    #[test]
    fn each_word_of_libgit2_has_its_meaning() {
        let https = || request(Scheme::Https, Credential::Nothing, false);
        let proxied = || request(Scheme::Https, Credential::Nothing, true);
        let ssh = || request(Scheme::Ssh, Credential::Agent, false);
        let none = Seen::default;
        let refused = Seen {
            is_refused: true,
            ..none()
        };
        let key = || Seen {
            key: Some("ssh-ed25519 SHA256:x".to_owned()),
            ..none()
        };
        let shown = Seen {
            certificate: Some(vec![0]),
            ..none()
        };
        let large = Seen {
            is_too_large: true,
            ..none()
        };
        let (generic, auth, eof, trust) = (
            ErrorCode::GenericError,
            ErrorCode::Auth,
            ErrorCode::Eof,
            ErrorCode::Certificate,
        );
        let mut table = String::new();
        for (seen, request, code, class, said) in [
            (refused, https(), generic, Http, "not let in"),
            (large, https(), generic, Indexer, "cancelled"),
            (shown, https(), generic, Ssl, "the SSL certificate is invalid"),
            (
                none(),
                https(),
                generic,
                Net,
                "cannot redirect from 'forge.example' to 'evil.example'",
            ),
            (none(), https(), generic, Http, "unexpected http status code: 403"),
            (none(), https(), generic, Http, "unexpected http status code: 404"),
            (none(), https(), generic, Http, "unexpected http status code: 429"),
            (none(), https(), generic, Http, "unexpected http status code: 502"),
            (
                none(),
                https(),
                generic,
                Http,
                "invalid content-type: 'text/html'",
            ),
            (
                none(),
                https(),
                generic,
                Net,
                "failed to resolve address for forge.example: Name or service not known",
            ),
            (
                none(),
                https(),
                generic,
                Os,
                "failed to connect to forge.example: Connection refused",
            ),
            (
                none(),
                https(),
                generic,
                Os,
                "failed to write: No space left on device",
            ),
            (
                none(),
                https(),
                ErrorCode::NotFound,
                Odb,
                "object not found - no match for id (e2c2ec76)",
            ),
            (none(), https(), generic, Ssl, "SSL error: received early EOF"),
            (none(), https(), generic, Indexer, "invalid packfile"),
            (
                none(),
                proxied(),
                generic,
                Http,
                "proxy returned unexpected status: 403",
            ),
            (
                none(),
                proxied(),
                auth,
                Http,
                "proxy authentication required but no callback set",
            ),
            (key(), ssh(), trust, Ssh, "invalid or unknown remote ssh hostkey"),
            (key(), ssh(), auth, Ssh, "failed to authenticate SSH session"),
            (
                key(),
                ssh(),
                eof,
                Ssh,
                "fatal: '/x' does not appear to be a git repository",
            ),
            (
                none(),
                ssh(),
                generic,
                Ssh,
                "failed to start SSH session: Failed getting banner",
            ),
        ] {
            let fault = fault(&git2::Error::new(code, class, said), &seen, &request);
            writeln!(table, "{said}\n  {:?}: {fault}", fault.disposition()).unwrap();
        }
        assert!(!table.contains("secret"));
        expect![[r#"
            not let in
              Invalid: the server does not let us in: it wants to know who asks, and no line of --git-credentials-file is for this host and port: write https://USER:TOKEN@HOST
            cancelled
              Invalid: the repository is larger than is fetched: more than 4 GiB, or 10 million objects, in one pack; keep large files elsewhere
            the SSL certificate is invalid
              Invalid: the certificate of forge.example:443 is not trusted: the SSL certificate is invalid; give the certificate of its authority with --ca-file, or the name that it was issued for
            cannot redirect from 'forge.example' to 'evil.example'
              Invalid: the server redirects to evil.example, which is not followed, since credentials are not for others; give that address, if it is the right one
            unexpected http status code: 403
              Invalid: the server does not let us in: it wants to know who asks, and no line of --git-credentials-file is for this host and port: write https://USER:TOKEN@HOST
            unexpected http status code: 404
              Invalid: the server has no such repository, or hides it from who may not read it; look at the address, and at what the credentials may read
            unexpected http status code: 429
              Waiting: the server answers with status 429: it is busy, or asked too often
            unexpected http status code: 502
              Transient: what came is broken: unexpected http status code: 502
            invalid content-type: 'text/html'
              Invalid: what answers is no Git repository: invalid content-type: 'text/html'; look at the address: a page for logging in may be in its place
            failed to resolve address for forge.example: Name or service not known
              Transient: the host is not reached: failed to resolve address for forge.example: Name or service not known
            failed to connect to forge.example: Connection refused
              Transient: the host is not reached: failed to connect to forge.example: Connection refused
            failed to write: No space left on device
              Transient: the mirror cannot be kept: failed to write: No space left on device
            object not found - no match for id (e2c2ec76)
              Transient: what came is broken: object not found - no match for id (e2c2ec76)
            SSL error: received early EOF
              Transient: what came is broken: SSL error: received early EOF
            invalid packfile
              Transient: what came is broken: invalid packfile
            proxy returned unexpected status: 403
              Transient: the proxy does not let it through: proxy returned unexpected status: 403; look at --proxy, and at its line in --git-credentials-file
            proxy authentication required but no callback set
              Transient: the proxy does not let it through: proxy authentication required but no callback set; look at --proxy, and at its line in --git-credentials-file
            invalid or unknown remote ssh hostkey
              Invalid: the key of forge.example:443 is ssh-ed25519 SHA256:x, and the known hosts have another one for it, or none; if its owner says that this is it, put it into the file of --known-hosts, else somebody stands between
            failed to authenticate SSH session
              Invalid: the server does not let us in: it refuses the keys of the agent (SSH_AUTH_SOCK): ssh-add -l lists them
            fatal: '/x' does not appear to be a git repository
              Invalid: the server has no such repository, or hides it from who may not read it; look at the address, and at what the credentials may read
            failed to start SSH session: Failed getting banner
              Transient: the host is not reached: failed to start SSH session: Failed getting banner
        "#]].assert_eq(&table);
    }
}
