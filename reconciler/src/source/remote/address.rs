//! Where a repository on another machine is: `https://…`, `ssh://…` or `user@host:path`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scheme {
    /// Git's smart protocol over TLS.
    Https,
    /// The same over SSH.
    Ssh,
}

/// The address of a repository on another machine. Holds no secret, so it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    text: String,
    scheme: Scheme,
    user: Option<String>,
    host: String,
    port: u16,
}

/// A text that looks like an address and is none that Aurora fetches from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another protocol, e.g. one without encryption.
    #[error(
        "{scheme}:// is no protocol that Aurora fetches with; give https://, ssh:// or user@host:path, or a path on this machine"
    )]
    Scheme {
        /// The protocol.
        scheme: String,
    },
    /// A user or a password where everybody may see it.
    #[error(
        "the address of {host} holds a user or a password, which every process list shows; put them into a file, as a line https://USER:TOKEN@{host}, and give it with --git-credentials-file"
    )]
    Userinfo {
        /// The host.
        host: String,
    },
    /// No host, a port that is none, or characters that no address has.
    #[error(
        "the address is malformed: {what}; write https://HOST/PATH, ssh://USER@HOST:PORT/PATH or USER@HOST:PATH"
    )]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
}

/// The longest address, in bytes.
const BYTES_MAX: usize = 2_048;

impl Address {
    /// Reads what may be an address; nothing if the text is a path on this machine.
    pub fn parse(text: &str) -> Option<Result<Self, AddressError>> {
        if let Some((scheme, rest)) = text.split_once("://") {
            return Some(Self::with_scheme(text, scheme, rest));
        }
        // As Git has it: a colon before the first slash. A path may have that too, and hardly a user before it.
        let (place, path) = text.split_once(':')?;
        let (user, host) = place.split_once('@')?;
        if place.contains('/') {
            return None;
        }
        Some(Self::of(text, Scheme::Ssh, Some(user), host, None, path))
    }

    fn with_scheme(text: &str, scheme: &str, rest: &str) -> Result<Self, AddressError> {
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "ssh" | "git+ssh" | "ssh+git" => Scheme::Ssh,
            other => {
                return Err(AddressError::Scheme {
                    scheme: planner::shown::escape(other).chars().take(20).collect(),
                });
            }
        };
        let (authority, path) = rest.split_once('/').ok_or(AddressError::Malformed {
            what: "it has no path",
        })?;
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place)?;
        let is_secret = match scheme {
            Scheme::Https => user.is_some(),
            Scheme::Ssh => user.is_some_and(|user| user.contains(':')),
        };
        if is_secret {
            return Err(AddressError::Userinfo {
                host: planner::shown::escape(host).into_owned(),
            });
        }
        Self::of(text, scheme, user, host, port, path)
    }

    fn of(
        text: &str,
        scheme: Scheme,
        user: Option<&str>,
        host: &str,
        port: Option<u16>,
        path: &str,
    ) -> Result<Self, AddressError> {
        let malformed = |what| Err(AddressError::Malformed { what });
        if text.len() > BYTES_MAX {
            return malformed("it is longer than 2,048 bytes");
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return malformed("it holds white space or a control character");
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.starts_with('-') && host.chars().all(is_word),
        };
        if !is_host {
            return malformed("its host is no name and no address");
        }
        if user.is_some_and(|user| user.is_empty() || user.starts_with('-') || !user.chars().all(is_word)) {
            return malformed("its user has characters that no user's name has");
        }
        if path.trim_matches('/').is_empty() {
            return malformed("it has no path");
        }
        if path.contains(['?', '#']) {
            return malformed("it has a query");
        }
        Ok(Self {
            text: text.to_owned(),
            scheme,
            user: user.map(str::to_owned),
            host: bare.unwrap_or(host).to_ascii_lowercase(),
            port: port.unwrap_or(match scheme {
                Scheme::Https => 443,
                Scheme::Ssh => 22,
            }),
        })
    }

    /// Returns the address as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns how the repository is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the host, in lower case.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, the usual one where none was given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns who logs in over SSH: `git` where nobody was named, as at every forge.
    pub fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("git")
    }
}

/// Splits `HOST:PORT`, where the host may be an IPv6 address in brackets.
pub(super) fn split_port(place: &str) -> Result<(&str, Option<u16>), AddressError> {
    let end = place.rfind(']').map_or(0, |at| at + 1);
    match place[end..].split_once(':') {
        None => Ok((place, None)),
        Some((rest, port)) => match port.parse() {
            Ok(port) if port > 0 => Ok((&place[..end + rest.len()], Some(port))),
            Ok(_) | Err(_) => Err(AddressError::Malformed {
                what: "its port is no number from 1 to 65535",
            }),
        },
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::expect;

    use super::*;

    #[test]
    fn what_is_an_address_and_what_is_a_path() {
        let mut said = String::new();
        for text in [
            ".",
            "/srv/repo",
            "a:b",
            "./git@host:x",
            "folder/git@host:x",
            "https://github.com/acme/models.git",
            "https://Forge.example:8443/models",
            "https://[::1]:8443/models",
            "ssh://git@forge.example/acme/models",
            "ssh://forge.example:2222/models",
            "git@github.com:acme/models.git",
            "https://token@github.com/acme/models",
            "https://user:secret@github.com/acme/models",
            "ssh://git:secret@forge.example/models",
            "http://forge.example/models",
            "file:///srv/repo",
            "https://forge.example",
            "https://forge.example/",
            "https://forge.example:0/models",
            "https://forge.example:x/models",
            "https:///models",
            "https://-oProxyCommand=x/models",
            "ssh://-x@forge.example/models",
            "https://forge.example/a b",
            "https://forge.example/a?token=secret",
            "git@host:",
        ] {
            let parsed = match Address::parse(text) {
                None => "a path".to_owned(),
                Some(Ok(it)) => format!("{:?} {} {}:{}", it.scheme, it.user(), it.host, it.port),
                Some(Err(error)) => format!("refused: {error}"),
            };
            // A refusal shows no secret.
            assert!(!parsed.contains("secret"), "{parsed}");
            writeln!(said, "{text}\n  {parsed}").unwrap();
        }
        expect![[r#"
            .
              a path
            /srv/repo
              a path
            a:b
              a path
            ./git@host:x
              a path
            folder/git@host:x
              a path
            https://github.com/acme/models.git
              Https git github.com:443
            https://Forge.example:8443/models
              Https git forge.example:8443
            https://[::1]:8443/models
              Https git ::1:8443
            ssh://git@forge.example/acme/models
              Ssh git forge.example:22
            ssh://forge.example:2222/models
              Ssh git forge.example:2222
            git@github.com:acme/models.git
              Ssh git github.com:22
            https://token@github.com/acme/models
              refused: the address of github.com holds a user or a password, which every process list shows; put them into a file, as a line https://USER:TOKEN@github.com, and give it with --git-credentials-file
            https://user:secret@github.com/acme/models
              refused: the address of github.com holds a user or a password, which every process list shows; put them into a file, as a line https://USER:TOKEN@github.com, and give it with --git-credentials-file
            ssh://git:secret@forge.example/models
              refused: the address of forge.example holds a user or a password, which every process list shows; put them into a file, as a line https://USER:TOKEN@forge.example, and give it with --git-credentials-file
            http://forge.example/models
              refused: http:// is no protocol that Aurora fetches with; give https://, ssh:// or user@host:path, or a path on this machine
            file:///srv/repo
              refused: file:// is no protocol that Aurora fetches with; give https://, ssh:// or user@host:path, or a path on this machine
            https://forge.example
              refused: the address is malformed: it has no path; write https://HOST/PATH, ssh://USER@HOST:PORT/PATH or USER@HOST:PATH
            https://forge.example/
              refused: the address is malformed: it has no path; write https://HOST/PATH, ssh://USER@HOST:PORT/PATH or USER@HOST:PATH
            https://forge.example:0/models
              refused: the address is malformed: its port is no number from 1 to 65535; write https://HOST/PATH, ssh://USER@HOST:PORT/PATH or USER@HOST:PATH
            https://forge.example:x/models
              refused: the address is malformed: its port is no number from 1 to 65535; write https://HOST/PATH, ssh://USER@HOST:PORT/PATH or USER@HOST:PATH
            https:///models
              refused: the address is malformed: its host is no name and no address; write https://HOST/PATH, ssh://USER@HOST:PORT/PATH or USER@HOST:PATH
            https://-oProxyCommand=x/models
              refused: the address is malformed: its host is no name and no address; write https://HOST/PATH, ssh://USER@HOST:PORT/PATH or USER@HOST:PATH
            ssh://-x@forge.example/models
              refused: the address is malformed: its user has characters that no user's name has; write https://HOST/PATH, ssh://USER@HOST:PORT/PATH or USER@HOST:PATH
            https://forge.example/a b
              refused: the address is malformed: it holds white space or a control character; write https://HOST/PATH, ssh://USER@HOST:PORT/PATH or USER@HOST:PATH
            https://forge.example/a?token=secret
              refused: the address is malformed: it has a query; write https://HOST/PATH, ssh://USER@HOST:PORT/PATH or USER@HOST:PATH
            git@host:
              refused: the address is malformed: it has no path; write https://HOST/PATH, ssh://USER@HOST:PORT/PATH or USER@HOST:PATH
        "#]].assert_eq(&said);
    }
}
