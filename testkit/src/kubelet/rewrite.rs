//! What a container's words mean on this machine.
//!
//! A container's process here sees the machine's files and its network. So that manifests need not know, in each argument
//! and each value of a variable
//! - a path below a mount becomes the path of the folder that stands for it: a whole path, so that neither what comes before
//!   it nor after it is part of a longer name; the deepest mount counts;
//! - `0.0.0.0` and `[::]`, alone or before a port, become the Pod's own loopback address; it comes before a port that is
//!   all there is, or all there is after `=` (`--listen=:8080`).
//!
//! Mount namespaces would do without, but need rights that many machines do not give, and would still leave the address. What
//! a program finds elsewhere (a path written into its code, or in a mounted file) is not translated.

use std::net::Ipv4Addr;
use std::path::PathBuf;

/// What stands for what.
#[derive(Debug, Clone)]
pub(crate) struct Translation {
    /// A path in the container and the path that stands for it; the longest first.
    places: Vec<(String, PathBuf)>,
    address: Ipv4Addr,
}

impl Translation {
    pub(crate) fn new(places: impl IntoIterator<Item = (String, PathBuf)>, address: Ipv4Addr) -> Self {
        let trimmed = |(path, place): (String, PathBuf)| (path.trim_end_matches('/').to_owned(), place);
        let mut places: Vec<_> = places.into_iter().map(trimmed).collect();
        places.retain(|(path, _)| !path.is_empty());
        places.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self { places, address }
    }

    /// Returns a text of the container as it reads on this machine.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut translated = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let before = text[..text.len() - rest.len()].chars().next_back();
            if let Some((length, stands)) = self.at(before, rest) {
                translated.push_str(&stands);
                rest = &rest[length..];
            } else {
                translated.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        translated
    }

    /// Returns how much of the text's beginning is translated, and to what.
    fn at(&self, before: Option<char>, rest: &str) -> Option<(usize, String)> {
        let place = self.places.iter().find(|(path, _)| {
            let after = rest.strip_prefix(path.as_str()).map(|after| after.chars().next());
            let ends =
                after.is_some_and(|after| after.is_none_or(|after| after == '/' || !is_of_path(after)));
            ends && !before.is_some_and(is_of_path)
        });
        if let Some((path, place)) = place {
            return Some((path.len(), place.display().to_string()));
        }
        let any = ["0.0.0.0", "[::]"].into_iter().find(|any| {
            let after = rest.strip_prefix(any).map(|after| after.chars().next());
            let ends = after.is_some_and(|after| after.is_none_or(|after| after == ':' || is_quote(after)));
            ends && !before.is_some_and(|before| before.is_ascii_alphanumeric() || before == '.')
        });
        if let Some(any) = any {
            return Some((any.len(), self.address.to_string()));
        }
        let is_port = rest.strip_prefix(':').is_some_and(is_number);
        let is_first = before.is_none_or(|before| before == '=');
        (is_port && is_first).then(|| (1, format!("{}:", self.address)))
    }
}

fn is_of_path(character: char) -> bool {
    character.is_alphanumeric() || "_-.~%/".contains(character)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_quote(character: char) -> bool {
    character.is_whitespace() || "\"',".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let places = [
            ("/models", "/h/claim"),
            ("/models/a/cache/", "/h/cache"),
            ("/", "/h/root"),
        ];
        let places = places.map(|(path, place)| (path.to_owned(), PathBuf::from(place)));
        let translation = Translation::new(places, Ipv4Addr::new(127, 1, 2, 3));
        assert_eq!(translation.text(text), expected, "{text}");
    }

    #[test]
    fn whole_paths_below_mounts_are_translated() {
        check("/models", "/h/claim");
        check("--root=/models/", "--root=/h/claim/");
        check("/models/a:/models/b", "/h/claim/a:/h/claim/b");
        check("/models/a/cache/x", "/h/cache/x");
        check("/models/a/cache2", "/h/claim/a/cache2");
        check(r#"{"root":"/models","n":1}"#, r#"{"root":"/h/claim","n":1}"#);
    }

    #[test]
    fn what_only_looks_like_one_stays() {
        for text in [
            "/models2/x",
            "/v2/models/a",
            "http://host/models",
            "é/models-x",
            "a/models",
            "/etc",
            "",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn any_address_is_the_pods_own() {
        check("0.0.0.0", "127.1.2.3");
        check("--listen=0.0.0.0:8080", "--listen=127.1.2.3:8080");
        check("http://[::]:8080/x", "http://127.1.2.3:8080/x");
        check(":8080", "127.1.2.3:8080");
        check("--listen=:8080", "--listen=127.1.2.3:8080");
        for text in [
            "10.0.0.0",
            "0.0.0.0/0",
            "0.0.0.01",
            "1.0.0.0.0",
            "[::1]:80",
            "a:80",
            "a=b:80",
            "{\"a\":80}",
            ":",
            ":http",
            ":80/x",
        ] {
            check(text, text);
        }
    }
}
