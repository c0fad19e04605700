//! Who issues tokens to jobs, as a forge does: its description, its keys, and the address that a job asks for its own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tempfile::TempDir;

/// What a job asks for its token with.
const ASKING: &str = "what-a-job-asks-with";

/// An issuer, with a key of its own.
#[derive(Clone)]
pub(crate) struct Issuing {
    address: SocketAddr,
    folder: Arc<TempDir>,
    repository: String,
}

impl Issuing {
    /// Starts one, whose jobs are those of a repository.
    pub(crate) fn start(repository: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let key = folder.path().join("key.pem");
        openssl(&["genrsa", "-out", key.to_str().expect("text"), "2048"], b"");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let issuing = Self {
            address: listener.local_addr().expect("an address"),
            folder: Arc::new(folder),
            repository: repository.to_owned(),
        };
        let (answering, keys) = (issuing.clone(), issuing.keys());
        std::thread::spawn(move || {
            for (number, stream) in (1..).zip(listener.incoming()) {
                let mut stream = stream.expect("a connection");
                let mut head = [0; 4096];
                let length = stream.read(&mut head).expect("a request");
                let (code, body) = answering.answer(&String::from_utf8_lossy(&head[..length]), &keys, number);
                let head = format!(
                    "HTTP/1.1 {code} Any\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).expect("it is taken");
            }
        });
        issuing
    }

    /// Returns its name.
    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the variables by which a job that may asks for its token.
    pub(crate) fn variables(&self) -> [String; 2] {
        [
            format!(
                "ACTIONS_ID_TOKEN_REQUEST_URL={}/token?api-version=2.0",
                self.issuer()
            ),
            format!("ACTIONS_ID_TOKEN_REQUEST_TOKEN={ASKING}"),
        ]
    }

    /// Returns the token that a job of a repository is given.
    pub(crate) fn token(&self, repository: &str, id: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("after 1970").as_secs();
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "one" });
        let claims = json!({
            "iss": self.issuer(), "aud": "aurora", "repository": repository,
            "jti": id, "nbf": now - 10, "iat": now, "exp": now + 300,
        });
        let text = [header, claims]
            .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
            .join(".");
        let key = self.folder.path().join("key.pem");
        let signature = openssl(
            &["dgst", "-sha256", "-sign", key.to_str().expect("text")],
            text.as_bytes(),
        );
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn answer(&self, request: &str, keys: &str, number: usize) -> (u16, String) {
        let line = request.lines().next().unwrap_or_default();
        if line.starts_with("GET /keys ") {
            return (200, keys.to_owned());
        }
        if line.starts_with("GET /token?") {
            let is_known = request.contains(&format!("authorization: Bearer {ASKING}\r\n"));
            if !is_known || !line.contains("&audience=aurora ") {
                return (403, "{}".to_owned());
            }
            let token = self.token(&self.repository, &format!("job {number}"));
            return (200, json!({ "count": token.len(), "value": token }).to_string());
        }
        let keys = format!("{}/keys", self.issuer());
        (
            200,
            json!({ "issuer": self.issuer(), "jwks_uri": keys }).to_string(),
        )
    }

    fn keys(&self) -> String {
        let key = self.folder.path().join("key.pem");
        let modulus = openssl(
            &["rsa", "-modulus", "-noout", "-in", key.to_str().expect("text")],
            b"",
        );
        let modulus = String::from_utf8(modulus).expect("text");
        let digits = modulus.trim().strip_prefix("Modulus=").expect("a modulus");
        let bytes: Vec<u8> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("digits"))
            .collect();
        json!({ "keys": [
            { "kty": "RSA", "kid": "one", "use": "sig", "n": URL_SAFE_NO_PAD.encode(bytes), "e": "AQAB" },
        ] })
        .to_string()
    }
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut openssl = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    // One that reads nothing may have ended.
    drop(openssl.stdin.take().expect("it reads").write_all(input));
    let output = openssl.wait_with_output().expect("it ends");
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}
