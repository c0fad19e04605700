//! A word as a picture, for a page that is not ours. Always 200: caches of pictures keep errors.

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue};
use planner::word::Word;
use warp::reply::Response;

use super::{header, is_known};

/// A letter's width in the picture, about: names are set in a narrow face of 11 px.
const LETTER: usize = 7;
const PADDING: usize = 6;

/// Answers with a name and its word; `None`: nobody knows it.
pub(super) fn answer(name: &str, word: Option<Word>, headers: &HeaderMap) -> Response {
    let said = word.map_or("unknown", Word::as_str);
    let id = format!("{name}-{said}");
    let mut response = if is_known(headers, &id) {
        let mut unchanged = Response::default();
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        let mut shown = Response::new(picture(name, said, word).into());
        let svg = HeaderValue::from_static("image/svg+xml");
        shown.headers_mut().insert(CONTENT_TYPE, svg);
        shown
    };
    let named = response.headers_mut();
    named.insert(ETAG, header(&format!("W/\"{id}\"")));
    named.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Draws it. Names hold letters, digits and hyphens, so that nothing is to be escaped.
fn picture(name: &str, said: &str, word: Option<Word>) -> String {
    let colour = match word {
        Some(Word::Serving) => "#1a7f4b",
        Some(Word::Failed) => "#b3261e",
        Some(Word::Degraded) => "#a04f00",
        Some(Word::RollingOut | Word::Training) => "#0b62b0",
        Some(Word::Waiting | Word::Held) => "#6b4fa0",
        Some(Word::Unknown) | None => "#5f6368",
    };
    let width = |text: &str| text.len() * LETTER + 2 * PADDING;
    let (left, right) = (width(name), width(said));
    let (all, middle_left, middle_right) = (left + right, left / 2, left + right / 2);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{all}" height="20" role="img"><title>{name}: {said}</title><rect width="{left}" height="20" fill="#3c4043"/><rect x="{left}" width="{right}" height="20" fill="{colour}"/><g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle"><text x="{middle_left}" y="14">{name}</text><text x="{middle_right}" y="14">{said}</text></g></svg>"##
    )
}
