//! Places outside the commit from which models are imported: `SCHEME://PLACE/PATH`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::FileName;
use crate::names::Malformed;

/// The longest address, in bytes.
const BYTES_MAX: usize = 1024;
/// What an address looks like.
const EXPECTED: &str = "the address of a file: https://HOST/PATH, hf://OWNER/NAME@COMMIT/PATH with the 40 digits of the commit, \
                        s3://BUCKET/PATH, gs://BUCKET/PATH, az://ACCOUNT/CONTAINER/PATH, mlflow://HOST/MODEL/VERSION or \
                        oci://HOST/REPOSITORY; without user, query and fragment, and of letters, digits and - . _ ~ + , alone";
/// What the beginning of an address looks like.
const EXPECTED_PREFIX: &str = "the beginning of an address: https://HOST, http://HOST, hf://OWNER, s3://BUCKET, gs://BUCKET, \
                               az://ACCOUNT, mlflow://HOST, mlflow+http://HOST, oci://HOST or oci+http://HOST, with or without a path below";

/// Who is asked for a file, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// A web server, by TLS.
    Https,
    /// A web server, in the clear.
    Http,
    /// The Hugging Face Hub.
    Hf,
    /// An object store with the API of Amazon S3.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
    /// A version of MLflow's registry, by TLS.
    Mlflow,
    /// The same, in the clear.
    MlflowPlain,
    /// A registry of images and other artifacts (OCI), by TLS.
    Oci,
    /// The same, in the clear.
    OciPlain,
}

impl Scheme {
    /// All, in the order in which documentation lists them.
    pub const ALL: [Self; 10] = [
        Self::Https,
        Self::Http,
        Self::Hf,
        Self::S3,
        Self::Gs,
        Self::Az,
        Self::Mlflow,
        Self::MlflowPlain,
        Self::Oci,
        Self::OciPlain,
    ];

    /// Returns what stands before `://`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Hf => "hf",
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
            Self::Mlflow => "mlflow",
            Self::MlflowPlain => "mlflow+http",
            Self::Oci => "oci",
            Self::OciPlain => "oci+http",
        }
    }

    /// Says whether an address is the path of a file: not of a version of MLflow's registry, nor of a repository of blobs.
    pub const fn is_of_paths(self) -> bool {
        match self {
            Self::Https | Self::Http | Self::Hf | Self::S3 | Self::Gs | Self::Az => true,
            Self::Mlflow | Self::MlflowPlain | Self::Oci | Self::OciPlain => false,
        }
    }
}

/// The address of a file. It holds no secret, and no part of its path is empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    scheme: Scheme,
    place: String,
    /// Not empty.
    path: Vec<String>,
}

impl Address {
    /// Returns who is asked.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns what follows `://`: `HOST` or `HOST:PORT`; of the Hub the owner, of an object store the bucket or the account.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Returns where a file lies in the same folder; [`None`] where an address is no path.
    pub fn beside(&self, name: &FileName) -> Option<Self> {
        self.scheme.is_of_paths().then(|| {
            let mut path = self.path.clone();
            path.pop();
            path.push(name.as_str().to_owned());
            Self { path, ..self.clone() }
        })
    }

    /// Returns the parts of the path; of the Hub the first is `NAME@COMMIT`, of Azure it is the container, of MLflow the model.
    pub fn path(&self) -> &[String] {
        &self.path
    }
}

impl FromStr for Address {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed::new(text, EXPECTED);
        let Beginning { scheme, place, path } = Beginning::parse(text).ok_or_else(malformed)?;
        let is_file = match scheme {
            Scheme::Https | Scheme::Http => !path.is_empty() && path.iter().all(|part| !part.contains('@')),
            Scheme::Hf => {
                path.len() > 1
                    && path[0]
                        .split_once('@')
                        .is_some_and(|(name, commit)| is_part(name) && is_commit(commit))
                    && path[1..].iter().all(|part| !part.contains('@'))
            }
            Scheme::S3 | Scheme::Gs => !path.is_empty() && path.iter().all(|part| !part.contains('@')),
            Scheme::Az => path.len() > 1 && path.iter().all(|part| !part.contains('@')),
            Scheme::Mlflow | Scheme::MlflowPlain => match &path[..] {
                [name, version] => !name.contains('@') && version.chars().all(|c| c.is_ascii_digit()),
                _ => false,
            },
            Scheme::Oci | Scheme::OciPlain => !path.is_empty() && path.iter().all(|part| is_bucket(part)),
        };
        if is_file {
            Ok(Self { scheme, place, path })
        } else {
            Err(malformed())
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, place, path } = self;
        write!(f, "{}://{place}/{}", scheme.as_str(), path.join("/"))
    }
}

impl TryFrom<String> for Address {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// The beginning of addresses below which models may be imported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix(Beginning);

impl Prefix {
    /// Says whether an address lies below it: each part of its path is one of the address.
    pub fn covers(&self, address: &Address) -> bool {
        let Self(prefix) = self;
        prefix.scheme == address.scheme
            && prefix.place.eq_ignore_ascii_case(&address.place)
            && address.path.starts_with(&prefix.path)
    }

    /// Returns who is asked.
    pub const fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// Returns the parts of a path that it names: of two prefixes that cover an address, the longer one counts.
    pub fn path(&self) -> &[String] {
        &self.0.path
    }
}

impl FromStr for Prefix {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let beginning = Beginning::parse(text.strip_suffix('/').unwrap_or(text));
        beginning
            .map(Self)
            .ok_or_else(|| Malformed::new(text, EXPECTED_PREFIX))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Beginning { scheme, place, path }) = self;
        write!(f, "{}://{place}/{}", scheme.as_str(), path.join("/"))
    }
}

/// What an address and its beginning have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Beginning {
    scheme: Scheme,
    place: String,
    path: Vec<String>,
}

impl Beginning {
    fn parse(text: &str) -> Option<Self> {
        if text.len() > BYTES_MAX {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let scheme = Scheme::ALL.into_iter().find(|known| known.as_str() == scheme)?;
        let mut parts = rest.split('/');
        let place = parts.next()?;
        let is_place = match scheme {
            Scheme::Https
            | Scheme::Http
            | Scheme::Mlflow
            | Scheme::MlflowPlain
            | Scheme::Oci
            | Scheme::OciPlain => is_authority(place),
            Scheme::Hf => is_part(place) && !place.contains('@'),
            Scheme::S3 | Scheme::Gs => is_bucket(place),
            Scheme::Az => is_account(place),
        };
        let path: Vec<String> = parts.map(str::to_owned).collect();
        (is_place && path.iter().all(|part| is_part(part))).then(|| Self {
            scheme,
            place: place.to_owned(),
            path,
        })
    }
}

/// A name or an IPv4 address, with or without a port.
fn is_authority(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "443"));
    host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
        && port.chars().all(|c| c.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// As object stores name buckets and registries the parts of a repository: no name that leads to another host.
fn is_bucket(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c))
}

fn is_account(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

fn is_part(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._~+,@".contains(c))
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_file_and_no_secret() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let hub = |rest: &str| format!("hf://{}", rest.replace("COMMIT", commit));
        for text in [
            "https://models.example.org/team/wine.onnx".to_owned(),
            "http://10.0.0.7:9000/m.onnx".to_owned(),
            "https://models.example.org:8443/a/b+c,d~f_g-h".to_owned(),
            hub("team/wine@COMMIT/onnx/model.onnx"),
            "s3://team-models/wine/v1.onnx".to_owned(),
            "gs://team.models_1/wine.onnx".to_owned(),
            "az://teammodels/wine/v1/model.onnx".to_owned(),
            "mlflow://mlflow.example.org/wine-quality/3".to_owned(),
            "mlflow+http://127.0.0.1:5000/wine/12".to_owned(),
            "oci://ghcr.io/team/models/wine".to_owned(),
            "oci+http://127.0.0.1:5000/wine".to_owned(),
        ] {
            let parsed: Address = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
        }
        for text in [
            "https://models.example.org".to_owned(),
            "https://models.example.org/".to_owned(),
            "https:///m.onnx".to_owned(),
            "https://me:s3cret@models.example.org/m.onnx".to_owned(),
            "https://models.example.org/m.onnx?token=s3cret".to_owned(),
            "https://models.example.org/m.onnx#a".to_owned(),
            "https://models.example.org/a/../m.onnx".to_owned(),
            "https://models.example.org/a//m.onnx".to_owned(),
            "https://models.example.org/%2e%2e/m.onnx".to_owned(),
            "https://models.example.org/a b.onnx".to_owned(),
            "https://models.example.org/a=b.onnx".to_owned(),
            "https://models.example.org:0/m.onnx".to_owned(),
            "https://models.example.org:+1/m.onnx".to_owned(),
            "https://[2001:db8::1]/m.onnx".to_owned(),
            "ftp://models.example.org/m.onnx".to_owned(),
            "file:///etc/passwd".to_owned(),
            "m.onnx".to_owned(),
            "s3://team".to_owned(),
            "s3://Team/m.onnx".to_owned(),
            "s3://team:9000/m.onnx".to_owned(),
            "s3://key@team/m.onnx".to_owned(),
            "gs://-team/m.onnx".to_owned(),
            "az://team/m.onnx".to_owned(),
            "mlflow://mlflow.example.org/wine".to_owned(),
            "mlflow://mlflow.example.org/wine/latest".to_owned(),
            "mlflow://mlflow.example.org/wine/3/m.onnx".to_owned(),
            "oci://ghcr.io".to_owned(),
            "oci://ghcr.io/Team/wine".to_owned(),
            "oci://ghcr.io/team/wine:latest".to_owned(),
            "az://team.blob.example/models/m.onnx".to_owned(),
            hub("team/wine/model.onnx"),
            hub("team/wine@main/model.onnx"),
            hub("team/wine@COMMIT"),
            hub("team/@COMMIT/model.onnx"),
            format!("https://h/{}", "x".repeat(BYTES_MAX)),
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_lies_beside_another_where_addresses_are_paths() {
        let name: FileName = "m.data".parse().unwrap();
        for (address, expected) in [
            ("https://h/m.onnx", Some("https://h/m.data")),
            ("s3://team/wine/m.onnx", Some("s3://team/wine/m.data")),
            ("az://team/models/m.onnx", Some("az://team/models/m.data")),
            (
                "hf://team/wine@0123456789abcdef0123456789abcdef01234567/m.onnx",
                Some("hf://team/wine@0123456789abcdef0123456789abcdef01234567/m.data"),
            ),
            ("mlflow://h/wine/3", None),
            ("oci://h/team/wine", None),
        ] {
            let address: Address = address.parse().unwrap();
            let beside = address.beside(&name).map(|address| address.to_string());
            assert_eq!(beside.as_deref(), expected, "{address}");
            // It is an address like any other.
            assert!(expected.is_none_or(|text| text.parse::<Address>().is_ok()));
        }
        for text in ["", ".data", "../m", "a/b", "a b", &"x".repeat(256)] {
            assert!(text.parse::<FileName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_covers_whole_parts() {
        let covers = |prefix: &str, address: &str| {
            let prefix: Prefix = prefix.parse().unwrap();
            prefix.covers(&address.parse().unwrap())
        };
        for (prefix, address, expected) in [
            ("https://h", "https://h/a/m.onnx", true),
            ("https://H/", "https://h/a/m.onnx", true),
            ("https://h/a/", "https://h/a/m.onnx", true),
            ("https://h/a", "https://h/a/m.onnx", true),
            ("https://h/a/m.onnx", "https://h/a/m.onnx", true),
            ("https://h/a", "https://h/ab/m.onnx", false),
            ("https://h/a/b", "https://h/a/m.onnx", false),
            ("https://h/a/m.onnx/b", "https://h/a/m.onnx", false),
            ("https://h", "https://h.evil.example/m.onnx", false),
            ("https://h", "https://h:8443/m.onnx", false),
            ("https://h", "http://h/m.onnx", false),
            ("s3://team", "s3://team/wine/m.onnx", true),
            ("s3://team/wine", "s3://team/wines/m.onnx", false),
            ("s3://team", "gs://team/wine/m.onnx", false),
            ("az://team/models", "az://team/models/m.onnx", true),
            ("mlflow://h", "mlflow://h/wine/3", true),
            ("mlflow+http://h", "mlflow://h/wine/3", false),
            ("oci://h/team", "oci://h/team/wine", true),
            ("oci://h/team", "oci://h/teams/wine", false),
            (
                "hf://team",
                "hf://team/wine@0123456789abcdef0123456789abcdef01234567/m.onnx",
                true,
            ),
            (
                "hf://tea",
                "hf://team/wine@0123456789abcdef0123456789abcdef01234567/m.onnx",
                false,
            ),
        ] {
            assert_eq!(covers(prefix, address), expected, "{prefix} {address}");
        }
        for text in [
            "https://",
            "https:",
            "h",
            "https://h/../a",
            "https://u:p@h/",
            "https://h/?a",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }
}
