//! `NaN`, `Infinity` and `-Infinity`, which some clients write into JSON: made texts, so that what is around them can be read.

/// What each of them becomes: no client writes this by chance.
pub(super) const MARK: &str = "\u{7f}";

/// Returns the text with these words as texts, everything else where it was; `None` where there is none of them.
pub(super) fn quoted(json: &[u8]) -> Option<Vec<u8>> {
    let mut quoted: Option<Vec<u8>> = None;
    let mut is_text = false;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += match byte {
            b'"' => {
                is_text = !is_text;
                1
            }
            b'\\' if is_text => 2,
            b'N' | b'I' | b'-' if !is_text => {
                let words: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
                match words.into_iter().find(|word| json[at..].starts_with(word)) {
                    Some(word) => {
                        let place = &mut quoted.get_or_insert_with(|| json.to_vec())[at..at + word.len()];
                        place.fill(b' ');
                        place[..3].copy_from_slice(&[b'"', MARK.as_bytes()[0], b'"']);
                        word.len()
                    }
                    None => 1,
                }
            }
            _ => 1,
        };
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_outside_of_texts_is_quoted() {
        for (json, expected) in [
            ("[1,null]", None),
            (r#"["NaN","\"NaN"]"#, None),
            ("[-1,-2]", None),
            ("[NaN]", Some("[\"\u{7f}\"]")),
            (
                r#"{"a\"":[NaN,-Infinity,Infinity,"NaN"]}"#,
                Some("{\"a\\\"\":[\"\u{7f}\",\"\u{7f}\"      ,\"\u{7f}\"     ,\"NaN\"]}"),
            ),
            (r#"["\"#, None),
        ] {
            let quoted = quoted(json.as_bytes()).map(|bytes| String::from_utf8(bytes).expect("text"));
            assert_eq!(quoted.as_deref(), expected, "{json}");
        }
    }
}
