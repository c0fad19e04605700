//! What a message looks like to its receiver.

use planner::Timestamp;
use planner::names::EnvironmentName;
use planner::notify::Form;
use reconciler::messages::Message;
use serde_json::json;

/// Returns what is sent.
pub(super) fn body(form: &Form, environment: &EnvironmentName, message: &Message, now: Timestamp) -> String {
    let Message {
        topic,
        revision,
        title,
        items,
        more,
    } = message;
    let body = match form {
        Form::Webhook { .. } => json!({
            "type": format!("aurora.{}", topic.as_str().to_ascii_lowercase()),
            "timestamp": now,
            "data": { "environment": environment, "revision": revision, "title": title, "items": items, "more": more },
        }),
        Form::Slack => {
            let revision = revision.as_ref().map_or("no commit", |revision| revision.short());
            let mut lines = vec![format!("{environment} at {revision}: {title}")];
            lines.extend(items.iter().map(|item| format!("• {item}")));
            if *more > 0 {
                lines.push(format!("and {more} more"));
            }
            json!({ "text": escaped(&lines.join("\n")), "mrkdwn": false })
        }
    };
    body.to_string()
}

/// Slack reads `<…>` as links and calls to everybody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use planner::notify::Topic;

    use super::*;

    #[test]
    fn a_message_has_the_form_of_its_receiver() {
        let message = Message {
            topic: Topic::Finding,
            revision: Some("a".repeat(40).parse().unwrap()),
            title: "1 new finding".to_owned(),
            items: vec!["a.yaml: <!channel> & \"b\"".to_owned()],
            more: 2,
        };
        let environment = "prod".parse().unwrap();
        let text = body(&Form::Slack, &environment, &message, Timestamp::UNIX_EPOCH);
        let expected = r#"{"mrkdwn":false,"text":"prod at aaaaaaa: 1 new finding\n• a.yaml: &lt;!channel&gt; &amp; \"b\"\nand 2 more"}"#;
        assert_eq!(
            text.replace(message.revision.as_ref().unwrap().short(), "aaaaaaa"),
            expected
        );
        let form = Form::Webhook {
            url: "https://h.example/".to_owned(),
        };
        let text = body(&form, &environment, &message, Timestamp::UNIX_EPOCH);
        let expected = format!(
            r#"{{"data":{{"environment":"prod","items":["a.yaml: <!channel> & \"b\""],"more":2,"revision":"{}","title":"1 new finding"}},"timestamp":"1970-01-01T00:00:00Z","type":"aurora.finding"}}"#,
            "a".repeat(40)
        );
        assert_eq!(text, expected);
    }
}
