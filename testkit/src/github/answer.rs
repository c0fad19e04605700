//! What is answered.

use serde_json::{Value, json};

use super::Call;

/// One answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) headers: Vec<String>,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn of(code: u16, body: Value) -> Self {
        Self {
            code,
            headers: Vec::new(),
            body,
        }
    }

    pub(super) fn problem(code: u16, message: &str) -> Self {
        Self::of(code, json!({ "message": message }))
    }

    /// Returns a page of a list, and where it goes on.
    pub(super) fn page(call: &Call, api: &str, all: Vec<Value>) -> Self {
        let number = |name: &str, otherwise: usize| {
            let parameters = call
                .query
                .split('&')
                .filter_map(|parameter| parameter.split_once('='));
            let mut found = parameters.filter(|(known, _)| *known == name);
            found
                .next()
                .and_then(|(_, value)| value.parse().ok())
                .unwrap_or(otherwise)
        };
        let (page, length) = (number("page", 1), number("per_page", 30).min(100));
        let is_last = all.len() <= page * length;
        let entries: Vec<Value> = all.into_iter().skip((page - 1) * length).take(length).collect();
        let mut answer = Self::of(200, json!(entries));
        if !is_last {
            let base = api.trim_end_matches("/api/v3");
            let kept = call
                .query
                .split('&')
                .filter(|parameter| !parameter.starts_with("page="));
            let query: Vec<&str> = kept.collect();
            let next = format!("{base}{}?{}&page={}", call.path, query.join("&"), page + 1);
            answer
                .headers
                .push(format!("link: <{api}>; rel=\"first\", <{next}>; rel=\"next\""));
        }
        answer
    }
}
