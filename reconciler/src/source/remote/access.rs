//! What a remote is reached with: files that a person names, read anew for each fetch.
//!
//! A credentials file is either a private key for SSH, as `ssh-keygen` writes it, or lines as `git credential-store` keeps
//! them: `https://USER:PASSWORD@HOST[:PORT]`. A line counts for its own host and port, so that no other host is told.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{Kind, read};
use super::{Address, Fault, Scheme, address, known_hosts};

/// What a remote is reached with; nothing of it is a secret, for secrets lie in the files.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The file with a private key, or with users and passwords by host.
    pub credentials: Option<PathBuf>,
    /// The file that says which keys SSH hosts have.
    pub known_hosts: Option<PathBuf>,
    /// The certificates of the authorities that are trusted instead of the system's.
    pub authorities: Option<PathBuf>,
    /// The proxy, as `http://HOST:PORT`.
    pub proxy: Option<Proxy>,
    /// Where an SSH agent listens.
    pub agent: Option<OsString>,
}

/// A proxy for HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    scheme: String,
    host: String,
    port: u16,
}

impl std::str::FromStr for Proxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "expected http://HOST:PORT, or https://HOST:PORT".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(
                "a user or a password is shown by every process list; put them into --git-credentials-file, as a line \
                 http://USER:PASSWORD@HOST:PORT"
                    .to_owned(),
            );
        }
        let (host, port) = address::split_port(rest).map_err(|error| error.to_string())?;
        let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
        if !matches!(scheme, "http" | "https") || host.is_empty() || !host.chars().all(is_host) {
            return Err(form());
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port: port.ok_or_else(form)?,
        })
    }
}

/// What is shown to a server that asks who comes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Credential {
    Nothing,
    Password { user: String, password: String },
    Key(String),
    Agent,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Password { .. } => "Password",
            Self::Key(_) => "Key",
            Self::Agent => "Agent",
        })
    }
}

/// What the files say, for one fetch.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Means {
    pub(crate) credential: Credential,
    /// The content of a known hosts file, checked.
    pub(crate) known_hosts: Option<String>,
    /// The proxy's address, with its user and password.
    pub(crate) proxy: Option<String>,
}

impl std::fmt::Debug for Means {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Means")
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Reads the files for one fetch.
    pub(super) fn read(&self, address: &Address) -> Result<Means, Fault> {
        let held = self.credentials.as_deref().map(Held::read).transpose()?;
        if let Some(authorities) = &self.authorities {
            check_authorities(authorities, &read(authorities, Kind::Public)?)?;
        }
        Ok(Means {
            credential: self.credential(address, held.as_ref())?,
            known_hosts: match address.scheme() {
                Scheme::Https => None,
                Scheme::Ssh => Some(self.known_hosts()?),
            },
            proxy: self.proxy.as_ref().map(|proxy| proxy.address(held.as_ref())),
        })
    }

    fn credential(&self, address: &Address, held: Option<&Held>) -> Result<Credential, Fault> {
        let wrong = |what: &str| Fault::File {
            path: self.credentials.clone().unwrap_or_default(),
            line: None,
            what: what.to_owned(),
        };
        match (address.scheme(), held) {
            (Scheme::Https, Some(Held::Key(_))) => Err(wrong(
                "is a private key, which is for ssh://; for https:// write lines https://USER:TOKEN@HOST",
            )),
            (Scheme::Https, Some(Held::Lines(lines))) => {
                let line = lines
                    .iter()
                    .find(|line| line.is_for("https", address.host(), address.port()));
                Ok(line.map_or(Credential::Nothing, Line::credential))
            }
            (Scheme::Ssh, Some(Held::Key(key))) => Ok(Credential::Key(key.clone())),
            (Scheme::Ssh, Some(Held::Lines(_))) => Err(wrong(
                "is no private key, which ssh:// needs; ssh-keygen -t ed25519 makes one",
            )),
            (Scheme::Ssh, None) if self.agent.is_some() => Ok(Credential::Agent),
            (Scheme::Https | Scheme::Ssh, None) => Ok(Credential::Nothing),
        }
    }

    fn known_hosts(&self) -> Result<String, Fault> {
        let Some(path) = &self.known_hosts else {
            return Err(Fault::NoKnownHosts);
        };
        let text = read(path, Kind::Public)?;
        known_hosts::check(&text).map_err(|wrong| Fault::File {
            path: path.clone(),
            line: Some(wrong.line),
            what: wrong.what.to_owned(),
        })?;
        Ok(text)
    }
}

impl Proxy {
    fn address(&self, held: Option<&Held>) -> String {
        let Self { scheme, host, port } = self;
        let lines = match held {
            Some(Held::Lines(lines)) => &lines[..],
            Some(Held::Key(_)) | None => &[],
        };
        let login = lines.iter().find(|line| line.is_for(scheme, host, *port));
        // As it stands in the file: encoded, as an address needs it.
        let login = login.map_or(String::new(), |line| format!("{}@", line.userinfo));
        format!("{scheme}://{login}{host}:{port}")
    }
}

fn check_authorities(path: &Path, text: &str) -> Result<(), Fault> {
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(());
    }
    Err(Fault::File {
        path: path.to_owned(),
        line: None,
        what: "holds no certificate in PEM: -----BEGIN CERTIFICATE-----".to_owned(),
    })
}

/// What a credentials file holds.
enum Held {
    Key(String),
    Lines(Vec<Line>),
}

/// A line of a credentials file: who logs in at which host.
struct Line {
    scheme: String,
    host: String,
    port: u16,
    userinfo: String,
    user: String,
    password: String,
}

impl Held {
    fn read(path: &Path) -> Result<Self, Fault> {
        Self::parse(&read(path, Kind::Secret)?).map_err(|(line, what)| Fault::File {
            path: path.to_owned(),
            line,
            what: what.to_owned(),
        })
    }

    /// Fails with the line and what is wrong; never with what stands there.
    fn parse(text: &str) -> Result<Self, (Option<usize>, &'static str)> {
        if text.trim_start().starts_with("-----BEGIN ") {
            return match text {
                _ if !text.contains(" PRIVATE KEY-----") => Err((Some(1), "is no private key")),
                _ if text.contains("ENCRYPTED") || is_encrypted(text) => Err((
                    None,
                    "is a private key with a passphrase; give one without, or leave the key to an agent (SSH_AUTH_SOCK)",
                )),
                _ => Ok(Self::Key(text.to_owned())),
            };
        }
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                lines.push(Line::parse(line).map_err(|what| (Some(index + 1), what))?);
            }
        }
        Ok(Self::Lines(lines))
    }
}

/// Says whether a key as OpenSSH writes it names a cipher. Its head is `openssh-key-v1`, a zero, and the cipher's name.
fn is_encrypted(text: &str) -> bool {
    const UNENCRYPTED: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";
    let body = text
        .split_once("OPENSSH PRIVATE KEY-----")
        .map(|(_, body)| body.trim_start());
    body.is_some_and(|body| !body.starts_with(UNENCRYPTED))
}

impl Line {
    fn parse(line: &str) -> Result<Self, &'static str> {
        const FORM: &str = "expected https://USER:PASSWORD@HOST, as git credential-store writes it; @ : / % in a password as %40 %3A %2F %25";
        let (scheme, rest) = line.split_once("://").ok_or(FORM)?;
        let (userinfo, place) = rest.split_once('@').ok_or(FORM)?;
        let (user, password) = userinfo.split_once(':').ok_or(FORM)?;
        let place = place.split('/').next().unwrap_or_default();
        if place.is_empty() || place.contains('@') || user.is_empty() || password.contains(['/', ':']) {
            return Err(FORM);
        }
        let usual = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err("expected https://, or http:// for a proxy"),
        };
        let (host, port) =
            address::split_port(place).map_err(|_error| "its port is no number from 1 to 65535")?;
        let decoded =
            |text| decode(text).ok_or("% is not followed by two hex digits, or the text is no UTF-8");
        Ok(Self {
            scheme: scheme.to_owned(),
            host: host.trim_matches(['[', ']']).to_ascii_lowercase(),
            port: port.unwrap_or(usual),
            user: decoded(user)?,
            password: decoded(password)?,
            userinfo: userinfo.to_owned(),
        })
    }

    fn is_for(&self, scheme: &str, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']);
        self.scheme == scheme && self.host.eq_ignore_ascii_case(host) && self.port == port
    }

    fn credential(&self) -> Credential {
        Credential::Password {
            user: self.user.clone(),
            password: self.password.clone(),
        }
    }
}

/// Decodes `%40` and the like.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?].map(|digit| char::from(digit).to_digit(16));
        let [high, low] = digits.map(|digit| digit.and_then(|digit| u8::try_from(digit).ok()));
        bytes.push(high? << 4 | low?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
