//! Which repository of which forge.

use std::fmt;

use web::{Plain, Url, WebError};

/// The longest name of an owner or a repository, in bytes.
const NAME_BYTES_MAX: usize = 100;
/// The forge whose API has a host of its own.
const GITHUB: &str = "github.com";
const GITHUB_API: &str = "https://api.github.com";

/// A repository of GitHub, or of a GitHub Enterprise Server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeRepository {
    api: Url,
    owner: String,
    name: String,
}

/// Why a text names no repository of a forge.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// It has another form.
    #[error("it does not name an owner and a repository, as in octo/models")]
    Name,
    /// It is on no forge.
    #[error("{0} is not the address of a repository on a forge")]
    Address(String),
    /// The API's address cannot be used.
    #[error("the API of the forge")]
    Api(#[source] WebError),
}

impl ForgeRepository {
    /// Takes `OWNER/NAME`, at an API's address: `https://api.github.com` or `https://HOST/api/v3`.
    ///
    /// # Errors
    ///
    /// Either says why it is none.
    pub fn new(api: &str, full_name: &str) -> Result<Self, RepositoryError> {
        let api = Url::parse(api, Plain::Loopback).map_err(RepositoryError::Api)?;
        let (owner, name) = full_name.split_once('/').ok_or(RepositoryError::Name)?;
        if ![owner, name].into_iter().all(is_name) {
            return Err(RepositoryError::Name);
        }
        Ok(Self {
            api,
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Finds the API and the name in the address of a clone: `https://HOST/OWNER/NAME.git`, `ssh://git@HOST/OWNER/NAME` or
    /// `git@HOST:OWNER/NAME.git`.
    ///
    /// # Errors
    ///
    /// It is of another form.
    pub fn of_address(address: &str) -> Result<Self, RepositoryError> {
        let unknown = || RepositoryError::Address(shown(address));
        let (host, path) = parts(address).ok_or_else(unknown)?;
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let api = if host == GITHUB {
            GITHUB_API.to_owned()
        } else {
            format!("https://{host}/api/v3")
        };
        Self::new(&api, path).map_err(|_malformed| unknown())
    }

    /// Returns the name of the owner.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    pub(crate) fn url(&self, below: &str) -> Result<Url, WebError> {
        let path = format!("repos/{}/{}/{below}", self.owner, self.name);
        // The repository's own has no slash at its end.
        self.api.join(path.trim_end_matches('/'))
    }

    pub(crate) fn api(&self) -> &Url {
        &self.api
    }
}

impl fmt::Display for ForgeRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_allowed) && !name.starts_with('.')
}

/// Splits an address into its host, with a port of HTTPS, and its path.
fn parts(address: &str) -> Option<(String, &str)> {
    if let Some(rest) = address.strip_prefix("https://") {
        let (host, path) = rest.split_once('/')?;
        return Some((host.to_ascii_lowercase(), path)).filter(|(host, _)| !host.contains('@'));
    }
    if let Some(rest) = address.strip_prefix("ssh://") {
        let (place, path) = rest.split_once('/')?;
        let host = place.rsplit('@').next()?;
        // The port is that of SSH.
        let host = host.split(':').next()?;
        return Some((host.to_ascii_lowercase(), path));
    }
    let (place, path) = address.split_once(':')?;
    let (_user, host) = place.split_once('@')?;
    Some((host.to_ascii_lowercase(), path))
}

/// What may hold a password is not shown.
fn shown(address: &str) -> String {
    if address.contains('@') && address.contains("://") {
        "it".to_owned()
    } else {
        address.escape_debug().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_says_where_its_forge_is() {
        let check = |address: &str, expected: Option<&str>| {
            let found = ForgeRepository::of_address(address);
            let shown = found
                .as_ref()
                .ok()
                .map(|found| format!("{} {found}", found.url("statuses").unwrap()));
            let path = found.ok().map(|found| format!("{:?}", found.api));
            assert_eq!(shown.as_deref(), expected, "{address} {path:?}");
        };
        check(
            "https://github.com/octo/models.git",
            Some("https://api.github.com octo/models"),
        );
        check(
            "https://GitHub.com/octo/models/",
            Some("https://api.github.com octo/models"),
        );
        check(
            "git@github.com:octo/models.git",
            Some("https://api.github.com octo/models"),
        );
        check(
            "ssh://git@github.com:22/octo/models",
            Some("https://api.github.com octo/models"),
        );
        check(
            "https://forge.example:8443/octo/a.b",
            Some("https://forge.example:8443 octo/a.b"),
        );
        check(
            "ssh://git@forge.example:2222/octo/models.git",
            Some("https://forge.example octo/models"),
        );
        check("https://token@github.com/octo/models", None);
        check("https://github.com/octo", None);
        check("https://github.com/octo/models/tree/main", None);
        check("https://github.com/../models", None);
        check("/srv/models.git", None);
        check("https://169.254.1.1/octo/models", None);
    }

    #[test]
    fn nothing_secret_is_repeated() {
        let error = ForgeRepository::of_address("https://me:s3cret@github.com/octo/models").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}
