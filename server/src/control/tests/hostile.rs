//! What a listener takes from whoever sends anything.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

#[tokio::test]
async fn a_path_that_names_nothing_is_refused_whatever_its_bytes() {
    let fixture = fixture();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let control = fixture.server.control.clone();
    drop(tokio::spawn(serve_control_plane(
        control,
        listener,
        std::future::pending(),
    )));
    let long = vec![b'a'; 64 << 10];
    for under in ["/models/", "/models/wine/", "/status/models/", "/"] {
        for (hostile, expected) in [
            (&b".."[..], 400..405),
            (b"%2e%2e", 400..405),
            (b"%2e%2e%2fetc", 400..405),
            (b"../../etc/passwd", 400..405),
            (b"..;/x", 400..405),
            (b"\0", 400..401),
            (b"%00", 400..405),
            (b"\xff\xfe", 400..405),
            (b"%ff", 400..405),
            (b"sha256:", 400..405),
            (b"sha256:ABCDEF0123456789", 400..405),
            (b"wine%20", 400..405),
            (&long, 414..432),
        ] {
            let mut request = b"GET ".to_vec();
            request.extend_from_slice(under.as_bytes());
            request.extend_from_slice(hostile);
            request.extend_from_slice(b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            let mut stream = TcpStream::connect(address).await.expect("connected");
            stream.write_all(&request).await.expect("sent");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.expect("an answer");
            let answer = String::from_utf8_lossy(&answer);
            let status: u16 = answer
                .split(' ')
                .nth(1)
                .and_then(|code| code.parse().ok())
                .unwrap_or_else(|| panic!("a status: {answer}"));
            let shown = String::from_utf8_lossy(&hostile[..hostile.len().min(40)]);
            assert!(expected.contains(&status), "{under} {shown}: {answer}");
        }
    }
}

#[test]
fn every_answer_has_the_name_of_its_request() {
    let fixture = fixture();
    for path in ["/health", "/models", "/nowhere", "/models/.."] {
        let name = |headers: &[_]| {
            let answer = fixture.send("GET", path, headers);
            answer.headers()["aurora-request-id"]
                .to_str()
                .expect("ASCII")
                .to_owned()
        };
        assert_ne!(name(&[]), name(&[]), "{path}");
        assert_eq!(name(&[("aurora-request-id", "mine-1")]), "mine-1", "{path}");
        assert_ne!(name(&[("x-request-id", "not sane")]), "not sane", "{path}");
    }
}
