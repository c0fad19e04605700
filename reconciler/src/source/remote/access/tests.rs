//! Which credential goes to which host, and what is refused without being shown.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use expect_test::expect;

use super::*;

const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n";
const LOCKED: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAA\n";

fn address(text: &str) -> Address {
    Address::parse(text).unwrap().unwrap()
}

fn said(credential: &Credential) -> String {
    match credential {
        Credential::Password { user, password } => format!("{user} {password}"),
        Credential::Key(_) => "key".to_owned(),
        Credential::Nothing | Credential::Agent => format!("{credential:?}"),
    }
}

#[test]
fn a_line_is_for_its_own_host_and_port() {
    let held = Held::parse(
        "# the forge\nhttps://x-access-token:one@github.com\n\nhttps://u%40x:t%3Aw%2Fo@forge.example:8443/some/path\n\
         http://p:three@proxy.example:3128\n",
    );
    let Ok(held) = held else { panic!("it is read") };
    let access = Access::default();
    let mut table = String::new();
    for text in [
        "https://github.com/a/b",
        "https://GitHub.com:443/a/b",
        "https://github.com:444/a/b",
        "https://evil-github.com/a/b",
        "https://forge.example:8443/a",
        "https://forge.example/a",
    ] {
        let credential = access.credential(&address(text), Some(&held)).unwrap();
        writeln!(table, "{text}: {}", said(&credential)).unwrap();
    }
    for text in [
        "http://proxy.example:3128",
        "http://proxy.example:3129",
        "https://proxy.example:3128",
    ] {
        let proxy: Proxy = text.parse().unwrap();
        writeln!(table, "{text}: {}", proxy.address(Some(&held))).unwrap();
    }
    expect![[r#"
        https://github.com/a/b: x-access-token one
        https://GitHub.com:443/a/b: x-access-token one
        https://github.com:444/a/b: Nothing
        https://evil-github.com/a/b: Nothing
        https://forge.example:8443/a: u@x t:w/o
        https://forge.example/a: Nothing
        http://proxy.example:3128: http://p:three@proxy.example:3128
        http://proxy.example:3129: http://proxy.example:3129
        https://proxy.example:3128: https://proxy.example:3128
    "#]]
    .assert_eq(&table);
}

#[test]
fn what_is_malformed_is_told_with_its_line_and_without_what_stands_there() {
    let mut table = String::new();
    for text in [
        "secret",
        "\nhttps://secret@github.com",
        "https://u:secret@",
        "https://u:sec@ret@github.com",
        "https://u:secret:x@github.com",
        "https://u:secret%4@github.com",
        "https://u:secret@github.com:0",
        "ftp://u:secret@github.com",
        "-----BEGIN CERTIFICATE-----\nsecret",
        LOCKED,
    ] {
        let Err((line, what)) = Held::parse(text) else {
            panic!("{text} is refused");
        };
        assert!(!what.contains("secret"), "{what}");
        writeln!(table, "{line:?} {what}").unwrap();
    }
    for text in [
        "proxy:3128",
        "http://proxy",
        "ftp://proxy:1",
        "http://u:secret@proxy:1",
        "http://:1",
    ] {
        let why = text.parse::<Proxy>().unwrap_err();
        assert!(!why.contains("secret"), "{why}");
        writeln!(table, "{why}").unwrap();
    }
    expect![[r#"
        Some(1) expected https://USER:PASSWORD@HOST, as git credential-store writes it; @ : / % in a password as %40 %3A %2F %25
        Some(2) expected https://USER:PASSWORD@HOST, as git credential-store writes it; @ : / % in a password as %40 %3A %2F %25
        Some(1) expected https://USER:PASSWORD@HOST, as git credential-store writes it; @ : / % in a password as %40 %3A %2F %25
        Some(1) expected https://USER:PASSWORD@HOST, as git credential-store writes it; @ : / % in a password as %40 %3A %2F %25
        Some(1) expected https://USER:PASSWORD@HOST, as git credential-store writes it; @ : / % in a password as %40 %3A %2F %25
        Some(1) % is not followed by two hex digits, or the text is no UTF-8
        Some(1) its port is no number from 1 to 65535
        Some(1) expected https://, or http:// for a proxy
        Some(1) is no private key
        None is a private key with a passphrase; give one without, or leave the key to an agent (SSH_AUTH_SOCK)
        expected http://HOST:PORT, or https://HOST:PORT
        expected http://HOST:PORT, or https://HOST:PORT
        expected http://HOST:PORT, or https://HOST:PORT
        a user or a password is shown by every process list; put them into --git-credentials-file, as a line http://USER:PASSWORD@HOST:PORT
        expected http://HOST:PORT, or https://HOST:PORT
    "#]].assert_eq(&table);
}

#[test]
fn what_a_file_holds_must_fit_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Some(path)
    };
    let hosts = file(
        "known_hosts",
        "h ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
        0o644,
    );
    let (https, ssh) = (address("https://h/a"), address("git@h:a"));
    let key = file("key", KEY, 0o600);
    let lines = file("lines", "https://u:p@h", 0o600);
    let with = |credentials: &Option<PathBuf>, known_hosts: &Option<PathBuf>| Access {
        credentials: credentials.clone(),
        known_hosts: known_hosts.clone(),
        ..Access::default()
    };
    let agent = Access {
        agent: Some("/run/agent".into()),
        ..with(&None, &hosts)
    };
    let authorities = Access {
        authorities: file("ca", "no certificate", 0o644),
        ..Access::default()
    };
    let mut table = String::new();
    for (what, access, address) in [
        ("lines, https", with(&lines, &None), &https),
        ("nothing, https", with(&None, &None), &https),
        ("key, https", with(&key, &None), &https),
        ("key, ssh", with(&key, &hosts), &ssh),
        ("lines, ssh", with(&lines, &hosts), &ssh),
        ("agent, ssh", agent, &ssh),
        ("nothing, ssh", with(&None, &hosts), &ssh),
        ("no known hosts, ssh", with(&key, &None), &ssh),
        ("open to the world", with(&file("open", KEY, 0o604), &hosts), &ssh),
        ("a folder", with(&Some(folder.path().to_owned()), &hosts), &ssh),
        ("missing", with(&Some(folder.path().join("none")), &hosts), &ssh),
        (
            "bad known hosts",
            with(&key, &file("bad", "\n@revoked h x y", 0o644)),
            &ssh,
        ),
        ("no certificate", authorities, &https),
    ] {
        let said = match access.read(address) {
            Ok(means) => said(&means.credential),
            Err(fault) => fault.to_string(),
        };
        writeln!(table, "{what}: {said}").unwrap();
    }
    let table = table.replace(&folder.path().display().to_string(), "FOLDER");
    expect![[r#"
        lines, https: u p
        nothing, https: Nothing
        key, https: FOLDER/key is a private key, which is for ssh://; for https:// write lines https://USER:TOKEN@HOST
        key, ssh: key
        lines, ssh: FOLDER/lines is no private key, which ssh:// needs; ssh-keygen -t ed25519 makes one
        agent, ssh: Agent
        nothing, ssh: Nothing
        no known hosts, ssh: SSH needs to know the host's key; give a file with --known-hosts: ssh-keyscan HOST prints one, to be compared with what the host's owner publishes
        open to the world: FOLDER/open has mode 0604: others must not read or write a secret; chmod 600, or 640 where it belongs to root
        a folder: FOLDER is no regular file
        missing: FOLDER/none cannot be read: No such file or directory (os error 2)
        bad known hosts: FOLDER/bad:2: @revoked and @cert-authority are not understood: name each host with its own key, and leave out what is revoked
        no certificate: FOLDER/ca holds no certificate in PEM: -----BEGIN CERTIFICATE-----
    "#]].assert_eq(&table);
}
