//! An event as one JSON document: `at`, `level`, `message`, and its fields beside them.

use std::error::Error;
use std::fmt;

use planner::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock;
use crate::failure::chain;

/// Writes events in this form.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        writeln!(
            out,
            "{}",
            document(clock::now(), *event.metadata().level(), fields.0)
        )
    }
}

/// Makes the document of an event: first what every event has, which counts before a field of that name.
pub(super) fn document(now: Timestamp, level: Level, mut fields: Map<String, Value>) -> String {
    let first = [
        ("at", now.format("%FT%T%.6fZ").to_string().into()),
        ("level", level.as_str().to_lowercase().into()),
        ("message", fields.remove("message").unwrap_or_default()),
    ];
    fields.retain(|name, _| first.iter().all(|(known, _)| known != name));
    let first = first.map(|(name, value)| (name.to_owned(), value));
    let pairs: Vec<String> = first
        .into_iter()
        .chain(fields)
        .map(|(name, value)| format!("{}:{value}", Value::from(name)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

/// The fields of an event, the message among them.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.insert(field, chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it cannot be read")]
    struct Unread(#[source] io::Error);

    /// What was written, for all who write.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_a_document_with_its_fields_and_the_causes_of_its_error() {
        let written = Written::default();
        let kept = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(Json)
            .with_writer(move || kept.clone())
            .finish();
        let error = Unread(io::Error::other("it is on fire"));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(
                count = 3,
                part = 0.5,
                is_new = true,
                path = %"a\nb",
                level = "a field of this name",
                error = &error as &dyn Error,
                "it is so"
            );
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        let at = document["at"].as_str().unwrap();
        assert!(
            at.len() == "2026-11-29T06:00:00.000000Z".len() && at.ends_with('Z'),
            "{at}"
        );
        expect_test::expect![[r#"
            {"at":"NOW","level":"warn","message":"it is so","count":3,"error":"it cannot be read: it is on fire","is_new":true,"part":0.5,"path":"a\nb"}
        "#]].assert_eq(&text.replace(at, "NOW"));
    }
}
