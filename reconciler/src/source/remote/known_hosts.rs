//! Which keys which hosts have: a `known_hosts` file, read before libssh2 reads it.
//!
//! libssh2 takes `@revoked` for the name of a host, knows no patterns, and drops the whole file for one bad line. So what
//! it would misunderstand is refused here, with the line.

/// The longest line, in bytes: a key of 16,384 bits fits.
const LINE_BYTES_MAX: usize = 8_192;

/// What is wrong, and in which line, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) what: &'static str,
}

/// Checks a file line by line.
pub(super) fn check(text: &str) -> Result<(), Wrong> {
    let mut keys = 0;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        check_line(line).map_err(|what| Wrong {
            line: index + 1,
            what,
        })?;
        keys += 1;
    }
    if keys == 0 {
        let what = "it names no host; ssh-keyscan HOST prints lines, to be compared with what the host's owner publishes";
        return Err(Wrong { line: 1, what });
    }
    Ok(())
}

fn check_line(line: &str) -> Result<(), &'static str> {
    if line.len() > LINE_BYTES_MAX {
        return Err("longer than 8,192 bytes");
    }
    let mut fields = line.split_ascii_whitespace();
    let (Some(hosts), Some(kind), Some(key)) = (fields.next(), fields.next(), fields.next()) else {
        return Err("expected `HOST TYPE KEY`, as ssh-keyscan prints it");
    };
    if hosts.starts_with('@') {
        return Err(
            "@revoked and @cert-authority are not understood: name each host with its own key, and leave out what is revoked",
        );
    }
    if hosts
        .split(',')
        .any(|host| host.is_empty() || host.contains(['*', '?', '!']))
    {
        return Err("patterns are not understood: name each host");
    }
    if hosts.starts_with('|') && !is_hashed(hosts) {
        return Err("expected |1|SALT|HASH for a hashed name");
    }
    let is_kind = kind.starts_with("ssh-") || kind.starts_with("ecdsa-sha2-") || kind.starts_with("sk-");
    if !is_kind {
        return Err("the second field is no type of a key, such as ssh-ed25519");
    }
    if kind == "ssh-dss" {
        return Err("keys of type ssh-dss are too weak to be trusted");
    }
    // The blob begins with the length of its type's name, so with zeros.
    if !is_base64(key) || !key.starts_with("AAAA") || key.len() < 64 {
        return Err("the third field is no key in base64");
    }
    Ok(())
}

fn is_hashed(hosts: &str) -> bool {
    let fields: Vec<&str> = hosts.split('|').collect();
    matches!(fields[..], ["", "1", salt, hash] if salt.len() == 28 && hash.len() == 28 && is_base64(salt) && is_base64(hash))
}

fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - digits.len() <= 2
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn what_libssh2_would_misunderstand_is_refused_with_its_line() {
        let files = [
            format!("# github\n\ngithub.com,192.0.2.1 ssh-ed25519 {KEY} a comment\n"),
            format!("[forge.example]:2222 ssh-ed25519 {KEY}"),
            format!("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-ed25519 {KEY}"),
            "\n# nothing\n".to_owned(),
            "github.com".to_owned(),
            format!("github.com ssh-ed25519 {KEY}\n@revoked github.com ssh-ed25519 {KEY}"),
            format!("*.example ssh-ed25519 {KEY}"),
            format!("a,!b ssh-ed25519 {KEY}"),
            format!("|1|x|y ssh-ed25519 {KEY}"),
            format!("github.com {KEY} ssh-ed25519"),
            format!("github.com ssh-dss {KEY}"),
            "github.com ssh-ed25519 AAAAshort".to_owned(),
            format!("github.com ssh-ed25519 {}!", &KEY[1..]),
            format!("github.com ssh-ed25519 {}", KEY.repeat(200)),
        ];
        let said: String = files
            .iter()
            .map(|file| match check(file) {
                Ok(()) => "accepted\n".to_owned(),
                Err(Wrong { line, what }) => format!("{line}: {what}\n"),
            })
            .collect();
        expect![[r#"
            accepted
            accepted
            accepted
            1: it names no host; ssh-keyscan HOST prints lines, to be compared with what the host's owner publishes
            1: expected `HOST TYPE KEY`, as ssh-keyscan prints it
            2: @revoked and @cert-authority are not understood: name each host with its own key, and leave out what is revoked
            1: patterns are not understood: name each host
            1: patterns are not understood: name each host
            1: expected |1|SALT|HASH for a hashed name
            1: the second field is no type of a key, such as ssh-ed25519
            1: keys of type ssh-dss are too weak to be trusted
            1: the third field is no key in base64
            1: the third field is no key in base64
            1: longer than 8,192 bytes
        "#]].assert_eq(&said);
    }
}
