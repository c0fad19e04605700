//! Signatures made with an SSH key, in the form that `ssh-keygen -Y sign` gives them (PROTOCOL.sshsig of OpenSSH).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use planner::commits::Fault;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
};
use sha2::{Digest as _, Sha256, Sha512};

use super::allowed::NAMESPACE;

/// What the text of a signature begins with.
pub(super) const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
/// What it ends with.
const END: &str = "-----END SSH SIGNATURE-----";
/// What its bytes, and what is signed, begin with.
const MAGIC: &[u8] = b"SSHSIG";
/// The only version.
const VERSION: u32 = 1;
/// Says that somebody touched the hardware that signed.
const TOUCHED: u8 = 1;
/// The size of such a key, in bytes.
const ED25519_BYTES: usize = 32;
/// The sizes of an RSA key that are verified, in bytes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

const SSH_ED25519: &str = "ssh-ed25519";
const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com";
const P256: &str = "ecdsa-sha2-nistp256";
const P384: &str = "ecdsa-sha2-nistp384";
const SK_P256: &str = "sk-ecdsa-sha2-nistp256@openssh.com";
const SSH_RSA: &str = "ssh-rsa";
/// The kinds that are known and not verified.
const UNSUPPORTED: [&str; 2] = ["ecdsa-sha2-nistp521", "ssh-dss"];
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// Says whether a word is the type of a key.
pub(super) fn is_kind(word: &str) -> bool {
    let supported = [SSH_ED25519, SK_ED25519, P256, P384, SK_P256, SSH_RSA];
    supported.contains(&word) || UNSUPPORTED.contains(&word) || word.ends_with(CERTIFICATE)
}

/// Says whether a key, in its wire form, is of this type and can be used.
pub(super) fn check_key(key: &[u8], kind: &str) -> Result<(), String> {
    let parsed = Key::parse(key);
    match Reader(key).text() {
        Ok(inner) if inner == kind => parsed.map(drop).map_err(|fault| match fault {
            Fault::Unsupported(what) => format!("Aurora does not verify signatures with {what}"),
            Fault::Malformed(why) => why,
            other => other.to_string(),
        }),
        Ok(inner) => Err(format!("its key is of type {inner:?}, not {kind}")),
        Err(_short) => Err("its key ends too early".to_owned()),
    }
}

/// Returns what people call a key.
pub(super) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

/// Verifies that a key signed this for Git, and returns it in its wire form. Whose key it is, is not asked.
pub(super) fn verify(signature: &str, payload: &[u8]) -> Result<Vec<u8>, Fault> {
    let bytes = dearmour(signature)?;
    let mut reader = Reader(&bytes);
    if reader.take(MAGIC.len())? != MAGIC || reader.number()? != VERSION {
        return Err(Fault::Malformed("it is of another version".to_owned()));
    }
    let public = reader.bytes()?;
    let namespace = reader.text()?;
    let _reserved = reader.bytes()?;
    let hash = reader.text()?;
    let signed = reader.bytes()?;
    reader.end()?;
    if namespace != NAMESPACE {
        return Err(Fault::OtherNamespace(namespace.chars().take(64).collect()));
    }
    let digest = match hash {
        "sha256" => Sha256::digest(payload).to_vec(),
        "sha512" => Sha512::digest(payload).to_vec(),
        other => return Err(Fault::Unsupported(format!("the hash {other:?}"))),
    };
    let mut message = MAGIC.to_vec();
    for part in [namespace.as_bytes(), b"", hash.as_bytes(), &digest] {
        message.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        message.extend(part);
    }
    Key::parse(public)?.verify(signed, &message, &fingerprint(public))?;
    Ok(public.to_vec())
}

fn dearmour(text: &str) -> Result<Vec<u8>, Fault> {
    let inner = text.trim().strip_prefix(BEGIN);
    let inner = inner.and_then(|inner| inner.strip_suffix(END));
    let inner = inner.ok_or_else(|| Fault::Malformed(format!("it does not end with {END}")))?;
    let inner: String = inner.split_ascii_whitespace().collect();
    STANDARD
        .decode(inner)
        .map_err(|error| Fault::Malformed(format!("it is no base64: {error}")))
}

/// A key that can be verified with.
enum Key<'a> {
    Ed25519(&'a [u8]),
    Ecdsa {
        kind: &'static str,
        algorithm: &'static EcdsaVerificationAlgorithm,
        /// The bytes of each of the signature's two numbers.
        bytes: usize,
        point: &'a [u8],
    },
    Rsa {
        modulus: &'a [u8],
        exponent: &'a [u8],
    },
    /// One that lies in hardware, for what it calls an application.
    Hardware {
        kind: &'static str,
        key: Box<Self>,
        application: &'a [u8],
    },
}

impl<'a> Key<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader(bytes);
        let kind = reader.text()?;
        let key = match kind {
            SSH_ED25519 => Self::Ed25519(sized(reader.bytes()?, ED25519_BYTES)?),
            P256 | P384 => Self::ecdsa(kind, &mut reader)?,
            SSH_RSA => {
                let (exponent, modulus) = (reader.positive()?, reader.positive()?);
                if !RSA_BYTES.contains(&modulus.len()) {
                    return Err(Fault::Unsupported(format!(
                        "an RSA key of {} bits",
                        modulus.len() * 8
                    )));
                }
                Self::Rsa { modulus, exponent }
            }
            SK_ED25519 => Self::Hardware {
                kind: SK_ED25519,
                key: Box::new(Self::Ed25519(sized(reader.bytes()?, ED25519_BYTES)?)),
                application: reader.bytes()?,
            },
            SK_P256 => Self::Hardware {
                kind: SK_P256,
                key: Box::new(Self::ecdsa(P256, &mut reader)?),
                application: reader.bytes()?,
            },
            other if other.ends_with(CERTIFICATE) => {
                return Err(Fault::Unsupported("an SSH certificate".to_owned()));
            }
            other => {
                let kind: String = other.chars().take(64).collect();
                return Err(Fault::Unsupported(format!("a key of type {kind:?}")));
            }
        };
        reader.end()?;
        Ok(key)
    }

    fn ecdsa(kind: &str, reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let _curve = reader.bytes()?;
        let (kind, algorithm, bytes) = if kind == P256 {
            (P256, &ECDSA_P256_SHA256_FIXED, 32)
        } else {
            (P384, &ECDSA_P384_SHA384_FIXED, 48)
        };
        let point = sized(reader.bytes()?, 1 + 2 * bytes)?;
        Ok(Self::Ecdsa {
            kind,
            algorithm,
            bytes,
            point,
        })
    }

    /// Verifies a signature, in its wire form; `name` is what people call the key.
    fn verify(&self, signature: &[u8], message: &[u8], name: &str) -> Result<(), Fault> {
        let mut reader = Reader(signature);
        let kind = reader.text()?;
        let inner = reader.bytes()?;
        if let Self::Hardware {
            kind: own,
            key,
            application,
        } = self
        {
            let (flags, counter) = (reader.take(1)?, reader.take(4)?);
            reader.end()?;
            expect_kind(kind, own)?;
            if flags[0] & TOUCHED == 0 {
                return Err(Fault::Unsupported(
                    "a hardware key that nobody touched".to_owned(),
                ));
            }
            let mut message_of_hardware = Sha256::digest(application).to_vec();
            message_of_hardware.extend([flags, counter].concat());
            message_of_hardware.extend(Sha256::digest(message));
            return key.verify_inner(key.kind(), inner, &message_of_hardware, name);
        }
        reader.end()?;
        self.verify_inner(kind, inner, message, name)
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => SSH_ED25519,
            Self::Rsa { .. } => SSH_RSA,
            Self::Ecdsa { kind, .. } | Self::Hardware { kind, .. } => kind,
        }
    }

    fn verify_inner(&self, kind: &str, signature: &[u8], message: &[u8], name: &str) -> Result<(), Fault> {
        let verified = match self {
            Self::Ed25519(key) => {
                expect_kind(kind, SSH_ED25519)?;
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature)
            }
            Self::Ecdsa {
                kind: own,
                algorithm,
                bytes,
                point,
            } => {
                expect_kind(kind, own)?;
                let mut reader = Reader(signature);
                let (r, s) = (reader.positive()?, reader.positive()?);
                reader.end()?;
                let fixed = [padded(r, *bytes)?, padded(s, *bytes)?].concat();
                UnparsedPublicKey::new(*algorithm, point).verify(message, &fixed)
            }
            Self::Rsa { modulus, exponent } => {
                let parameters = match kind {
                    "rsa-sha2-256" => &RSA_PKCS1_2048_8192_SHA256,
                    "rsa-sha2-512" => &RSA_PKCS1_2048_8192_SHA512,
                    _ => return expect_kind(kind, "rsa-sha2-512"),
                };
                let components = RsaPublicKeyComponents {
                    n: modulus,
                    e: exponent,
                };
                components.verify(parameters, message, &padded(signature, modulus.len())?)
            }
            Self::Hardware { .. } => return Err(Fault::Malformed("its key is in itself".to_owned())),
        };
        verified.map_err(|_unspecified| Fault::BadSignature(name.to_owned()))
    }
}

fn expect_kind(kind: &str, expected: &str) -> Result<(), Fault> {
    if kind == expected {
        return Ok(());
    }
    let kind: String = kind.chars().take(64).collect();
    Err(Fault::Unsupported(format!("a signature of type {kind:?}")))
}

fn sized(bytes: &[u8], size: usize) -> Result<&[u8], Fault> {
    let is_sized = bytes.len() == size;
    is_sized
        .then_some(bytes)
        .ok_or_else(|| Fault::Malformed(format!("its key has {} bytes, not {size}", bytes.len())))
}

/// Returns a number with as many bytes as it is to have.
fn padded(number: &[u8], bytes: usize) -> Result<Vec<u8>, Fault> {
    let missing = bytes.checked_sub(number.len());
    let missing = missing.ok_or_else(|| Fault::Malformed("a number of it is too large".to_owned()))?;
    let mut padded = vec![0; missing];
    padded.extend(number);
    Ok(padded)
}

/// Reads what SSH writes: lengths of four bytes, big-endian, before what they tell of.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Fault> {
        let taken = self.0.split_at_checked(bytes);
        let (taken, rest) = taken.ok_or_else(|| Fault::Malformed("it ends too early".to_owned()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, Fault> {
        let bytes = self.take(4)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes()?).map_err(|error| Fault::Malformed(error.to_string()))
    }

    /// Reads a positive number, without the zero before it.
    fn positive(&mut self) -> Result<&'a [u8], Fault> {
        let bytes = self.bytes()?;
        let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        match bytes.first() {
            None | Some(0x80..) => Err(Fault::Malformed("a number of it is not positive".to_owned())),
            Some(_) => Ok(&bytes[first..]),
        }
    }

    fn end(&self) -> Result<(), Fault> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Fault::Malformed("something follows it".to_owned()))
        }
    }
}
