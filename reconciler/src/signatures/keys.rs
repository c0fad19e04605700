//! The files of keys that an MLEnvironment names: read in a commit, or on this machine.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use planner::Timestamp;
use planner::commits::{CommitPolicy, Fault, KeyFiles, KeyProblem, Verdict};
use planner::finding::Location;
use planner::names::{EnvironmentName, Revision};

use super::allowed::AllowedSigners;
use super::openpgp::{self, Gpgv};
use super::ssh;
use crate::source::{ENVIRONMENTS, Source, SourceError};

/// The largest file of keys, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;
/// What a keyring begins with that was exported as text.
const ARMOUR: &[u8] = b"-----BEGIN PGP";

/// Where keys are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) source: &'a Source,
    pub(crate) environment: &'a EnvironmentName,
    /// The commit of which the environment's folder is read.
    pub(crate) revision: &'a Revision,
}

/// All keys by which commits are judged.
#[derive(Debug)]
pub(crate) struct Keys {
    signers: KeySet,
    forge: Option<KeySet>,
    gpgv: Gpgv,
    /// What is wrong with their files.
    pub(crate) problems: Vec<KeyProblem>,
}

/// The keys of one party. A file that cannot be read is why its signatures cannot be verified.
#[derive(Debug, Default)]
struct KeySet {
    allowed: Option<Result<AllowedSigners, String>>,
    keyring: Option<Result<Vec<u8>, String>>,
}

impl Keys {
    /// Reads the files that a policy names.
    pub(crate) fn read(policy: &CommitPolicy, place: Place<'_>) -> Result<Self, SourceError> {
        let mut problems = Vec::new();
        let signers = KeySet::read(&policy.signers, place, &mut problems)?;
        let forge = policy.forge.as_ref();
        let forge = forge.map(|forge| KeySet::read(&forge.keys, place, &mut problems));
        Ok(Self {
            signers,
            forge: forge.transpose()?,
            gpgv: Gpgv::default(),
            problems,
        })
    }

    /// Says what a signature is worth.
    pub(crate) fn judge(&self, signature: &str, payload: &[u8], committer: &str, seen: Timestamp) -> Verdict {
        let judge = |keys: &KeySet| keys.judge(&self.gpgv, signature, payload, committer, seen);
        let fault = match judge(&self.signers) {
            Ok(()) => return Verdict::Signer,
            Err(fault) => fault,
        };
        // What a signer's own key did wrong is not for the forge to mend.
        let is_unknown = matches!(fault, Fault::UnknownKey(_) | Fault::Unverifiable(_));
        match self.forge.as_ref().filter(|_| is_unknown).map(judge) {
            Some(Ok(())) => Verdict::Forge,
            Some(Err(Fault::UnknownKey(_) | Fault::Unverifiable(_))) | None => Verdict::Fault(fault),
            Some(Err(of_forge)) => Verdict::Fault(of_forge),
        }
    }
}

impl KeySet {
    fn read(files: &KeyFiles, place: Place<'_>, problems: &mut Vec<KeyProblem>) -> Result<Self, SourceError> {
        let KeyFiles {
            allowed_signers,
            keyring,
        } = files;
        let mut set = Self::default();
        if let Some(path) = allowed_signers {
            let (file, content) = read(path, place)?;
            set.allowed = Some(content.map(|bytes| {
                let (signers, of_lines) = AllowedSigners::parse(&bytes, &file);
                problems.extend(of_lines);
                signers
            }));
            problems.extend(unusable(&file, set.allowed.as_ref()));
        }
        if let Some(path) = keyring {
            let (file, content) = read(path, place)?;
            let content = content.and_then(|bytes| {
                if bytes.starts_with(ARMOUR) {
                    let why =
                        "it is text, and gpgv reads binary keyrings alone: gpg --dearmor makes one of it";
                    return Err(format!("{file}: {why}"));
                }
                Ok(bytes)
            });
            problems.extend(unusable(&file, Some(&content)));
            set.keyring = Some(content);
        }
        Ok(set)
    }

    fn judge(
        &self,
        gpgv: &Gpgv,
        signature: &str,
        payload: &[u8],
        committer: &str,
        seen: Timestamp,
    ) -> Result<(), Fault> {
        let text = signature.trim_start();
        if text.starts_with(ssh::BEGIN) {
            let key = ssh::verify(text, payload)?;
            match &self.allowed {
                Some(Ok(allowed)) => allowed.judge(&key, committer, seen),
                Some(Err(why)) => Err(Fault::Unverifiable(why.clone())),
                None => Err(Fault::UnknownKey(ssh::fingerprint(&key))),
            }
        } else if text.starts_with(openpgp::BEGIN) {
            match &self.keyring {
                Some(Ok(keyring)) => gpgv.verify(text, payload, keyring, seen),
                Some(Err(why)) => Err(Fault::Unverifiable(why.clone())),
                None => Err(Fault::Unverifiable(
                    "it is an OpenPGP signature, and no keyring is named".to_owned(),
                )),
            }
        } else if text.starts_with("-----BEGIN SIGNED MESSAGE-----") {
            Err(Fault::Unsupported(
                "an X.509 certificate (S/MIME, gitsign)".to_owned(),
            ))
        } else {
            Err(Fault::Malformed("it is neither of SSH nor of OpenPGP".to_owned()))
        }
    }
}

/// Tells that no file can be read.
pub(super) fn unread(error: &SourceError) -> KeyProblem {
    KeyProblem {
        location: Location {
            file: ENVIRONMENTS.to_owned(),
            line: 0,
            column: 0,
        },
        message: format!("the files of keys cannot be read: {error}"),
        hint: "they are read again for the next commit".to_owned(),
    }
}

/// Tells of a file that cannot be read.
pub(super) fn unusable<T>(file: &str, content: Option<&Result<T, String>>) -> Option<KeyProblem> {
    let why = content.and_then(|content| content.as_ref().err())?;
    Some(KeyProblem {
        location: Location {
            file: file.to_owned(),
            line: 0,
            column: 0,
        },
        message: why.clone(),
        hint: "no signature that needs it can be verified; a file of the repository counts from the commit on that brings it".to_owned(),
    })
}

/// Reads a file; what it is called, and why it cannot be read.
pub(super) fn read(path: &str, place: Place<'_>) -> Result<(String, Result<Vec<u8>, String>), SourceError> {
    if path.starts_with('/') {
        let content = of_machine(Path::new(path)).map_err(|error| format!("cannot read {path}: {error}"));
        return Ok((path.to_owned(), content));
    }
    let Place {
        source,
        environment,
        revision,
    } = place;
    let folder = format!("{ENVIRONMENTS}/{environment}/");
    let file = format!("{folder}{path}");
    let content = match source.data_file(revision, &folder, path)? {
        Ok(found) => source.data_head(&found, FILE_BYTES_MAX + 1).map(checked)?,
        Err(error) => Err(error.to_string()),
    };
    let content = content.map_err(|why| format!("cannot read it at {}: {why}", revision.short()));
    Ok((file, content))
}

fn of_machine(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would be waited for.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(FILE_BYTES_MAX + 1).unwrap_or(u64::MAX);
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    checked(bytes).map_err(io::Error::other)
}

fn checked(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
}
