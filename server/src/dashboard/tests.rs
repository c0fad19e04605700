//! What the dashboard is made of, without a browser.

use std::collections::BTreeSet;

use hyper::body::Body as _;
use hyper::header::{ETAG, IF_NONE_MATCH};

use super::*;

/// The whole page, all that it loads included.
const BYTES_MAX: usize = 150_000;

fn dashboard() -> Dashboard {
    let inference = "http://127.0.0.1:8080".parse().expect("an origin");
    Dashboard::new(Some(&inference))
}

fn get(path: &str) -> Response {
    let answer = dashboard().answer(path, &HeaderMap::new());
    answer.unwrap_or_else(|failure| failure.response())
}

/// Names every asset that a text loads.
fn loaded(text: &str) -> BTreeSet<&str> {
    let quoted = text.split('"').skip(1).step_by(2);
    quoted
        .filter_map(|quoted| {
            quoted
                .strip_prefix("assets/")
                .or_else(|| quoted.strip_prefix("./"))
        })
        .collect()
}

#[test]
fn everything_that_is_loaded_is_served_under_that_name_and_nothing_else_is() {
    let Dashboard { assets, page, .. } = &dashboard();
    let texts = assets.values().map(|asset| &asset.bytes).chain([page]);
    let texts: Vec<&str> = texts.map(|bytes| str::from_utf8(bytes).unwrap()).collect();
    let names: BTreeSet<&str> = texts.into_iter().flat_map(loaded).collect();
    assert_eq!(names, assets.keys().map(String::as_str).collect());
    for name in names {
        let response = get(&format!("assets/{name}"));
        assert_eq!(response.status(), StatusCode::OK, "{name}");
        assert_eq!(response.headers()[CACHE_CONTROL], "max-age=31536000, immutable");
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}

#[test]
fn all_together_is_small() {
    let Dashboard { assets, page, .. } = &dashboard();
    let assets = assets.values().map(|asset| asset.bytes.len());
    let bytes = assets.sum::<usize>() + page.len();
    assert!(bytes < BYTES_MAX, "{bytes} bytes");
}

#[test]
fn the_page_may_load_from_here_alone_and_is_asked_for_anew() {
    let response = get("");
    let headers = response.headers();
    assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(headers[CACHE_CONTROL], "no-cache");
    assert_eq!(headers[REFERRER_POLICY], "no-referrer");
    let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[test]
fn beside_here_it_may_ask_inference_alone() {
    let inference = "https://predict.example.org".parse().expect("an origin");
    for (inference, may_ask, says) in [
        (None, "connect-src 'self'", "content=\"\""),
        (
            Some(&inference),
            "connect-src 'self' https://predict.example.org",
            "content=\"https://predict.example.org\"",
        ),
    ] {
        let dashboard = Dashboard::new(inference);
        let policy = dashboard.policy.to_str().expect("text").split("; ");
        let connect: Vec<&str> = policy.filter(|part| part.starts_with("connect-src")).collect();
        assert_eq!(connect, [may_ask]);
        let page = str::from_utf8(&dashboard.page).expect("text");
        assert!(page.contains(&format!("name=\"inference\" {says}")), "{page}");
    }
}

#[test]
fn a_page_that_is_known_is_not_sent_again() {
    let tag = get("").headers()[ETAG].to_str().unwrap().to_owned();
    for (known, status) in [
        (tag.clone(), StatusCode::NOT_MODIFIED),
        (format!("W/{tag}"), StatusCode::NOT_MODIFIED),
        (format!("\"other\", {tag}"), StatusCode::NOT_MODIFIED),
        ("*".to_owned(), StatusCode::NOT_MODIFIED),
        ("\"other\"".to_owned(), StatusCode::OK),
    ] {
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, known.parse().unwrap())]);
        let response = dashboard().answer("", &headers).unwrap();
        assert_eq!(response.status(), status, "{known}");
        assert_eq!(response.headers()[ETAG].to_str().unwrap(), tag);
        let is_whole = response.body().size_hint().exact() != Some(0);
        assert_eq!(is_whole, status == StatusCode::OK, "{known}");
    }
}

#[test]
fn what_it_does_not_load_is_not_there() {
    for name in ["app.js", "../page.html", "app-0000000000000000.js", "", "/"] {
        let response = get(&format!("assets/{name}"));
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{name}");
    }
}

/// Text from commits reaches the page: nothing in it may become markup or code, and nothing comes from elsewhere.
#[test]
fn nothing_makes_markup_or_code_of_text() {
    for (name, source) in SOURCES.into_iter().chain([("page.html", PAGE)]) {
        for banned in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "javascript:",
            " style=",
            "https://",
            "EventSource",
        ] {
            assert!(!source.contains(banned), "{name}: {banned}");
        }
    }
}
