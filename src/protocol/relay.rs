//! The relay: a registered connection chooses its topics and is otherwise only written to.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{Reaction, json};
use crate::{
    topic_name::TopicName,
    wire::frame::{Frame, Kind},
};

/// Topics that one connection may follow.
pub(crate) const MAX_TOPICS: usize = 128;

/// What a connection may say: the topics that it wants to follow, all of them.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Topics<'a> {
    #[serde(borrow)]
    topics: Vec<std::borrow::Cow<'a, str>>,
}

/// Reacts to a message: `ping` is answered `pong`, topics are followed, anything else is answered
/// with one line of JSON that says what is wrong with it.
pub(crate) fn react(kind: Kind, payload: &[u8]) -> Reaction {
    let text = match kind {
        // Not looked at: that would hold up everybody else on the shard.
        Kind::Text if payload.len() > MAX_BYTES => {
            return complaint(&format!("{EXPECTED}, of at most {MAX_BYTES} bytes"));
        }
        Kind::Text => str::from_utf8(payload).unwrap_or_default(),
        Kind::Binary => return complaint("text expected"),
    };
    if text == "ping" {
        return Reaction::Reply(Frame::text("pong"));
    }
    if !text.trim_ascii_start().starts_with('{') {
        // serde would take an array for it.
        return complaint(EXPECTED);
    }
    match serde_json::from_str::<Topics<'_>>(text) {
        Ok(wanted) => match check_topics(&wanted.topics) {
            Ok(topics) => Reaction::SetTopics(topics),
            Err(error) => complaint(&error),
        },
        Err(error) => complaint(&format!("{EXPECTED}: {error}")),
    }
}

/// The answer to a change of topics: those now in force.
pub(crate) fn topics_in_force(topics: &[TopicName]) -> Frame {
    let topics = topics.iter().map(|topic| topic.as_str().into()).collect();
    Frame::text(&json(&Topics { topics }))
}

/// Checks a list of topic names; one named twice counts once.
pub(crate) fn check_topics(names: &[impl AsRef<str>]) -> Result<Vec<TopicName>, String> {
    let mut topics = Vec::new();
    let mut seen = HashSet::new();
    for name in names.iter().map(AsRef::as_ref) {
        if seen.contains(name) {
            continue;
        }
        topics.push(TopicName::new(name).map_err(|error| format!("topics: {error}"))?);
        if topics.len() > MAX_TOPICS {
            return Err(format!("topics: more than {MAX_TOPICS}"));
        }
        seen.insert(name);
    }
    Ok(topics)
}

fn complaint(error: &str) -> Reaction {
    Reaction::Reply(Frame::text(&super::complaint(error)))
}

const EXPECTED: &str = "{\"topics\": [...]} or ping expected";

/// More than 128 names take, of 255 bytes and with every one escaped (`\u0041`).
const MAX_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&str]) -> Vec<TopicName> {
        names
            .iter()
            .map(|name| TopicName::new(name).unwrap())
            .collect()
    }

    fn complaint_about(kind: Kind, payload: &[u8]) -> String {
        let Reaction::Reply(frame) = react(kind, payload) else {
            panic!("no complaint about {payload:?}");
        };
        let start = frame
            .as_bytes()
            .iter()
            .position(|&byte| byte == b'{')
            .unwrap();
        String::from_utf8(frame.as_bytes()[start..].to_vec()).unwrap()
    }

    #[test]
    fn ping_is_answered_pong() {
        assert_eq!(
            react(Kind::Text, b"ping"),
            Reaction::Reply(Frame::text("pong"))
        );
    }

    #[test]
    fn topics_replace_those_before_and_one_named_twice_counts_once() {
        let wanted = br#"{"topics": ["cats", "dogs", "cats"]}"#;
        assert_eq!(
            react(Kind::Text, wanted),
            Reaction::SetTopics(topics(&["cats", "dogs"]))
        );
        assert_eq!(
            react(Kind::Text, br#"{"topics": []}"#),
            Reaction::SetTopics(Vec::new())
        );
        let answer = topics_in_force(&topics(&["cats", "dogs"]));
        assert_eq!(answer, Frame::text(r#"{"topics":["cats","dogs"]}"#));
    }

    #[test]
    fn anything_else_is_answered_with_one_line_of_json() {
        for payload in [
            "",
            "pong",
            "{",
            "{\n\"a\":\u{1b}\n}",
            "{\"a\u{7f}\u{9b}\":1}",
            r#"{"topics": "cats"}"#,
            r#"{"topics": [""]}"#,
            r#"[["cats"]]"#,
        ] {
            let line = complaint_about(Kind::Text, payload.as_bytes());
            assert!(line.starts_with("{\"error\":\""), "{line}");
            assert!(!line.contains(char::is_control), "{line}");
        }
        assert_eq!(
            complaint_about(Kind::Binary, b"ping"),
            r#"{"error":"text expected"}"#
        );
    }

    #[test]
    fn what_is_larger_than_any_list_of_topics_is_not_looked_at() {
        let list = r#"{"topics": ["cats"]}"#;
        let padded = |bytes: usize| format!("{list}{}", " ".repeat(bytes - list.len()));
        assert_eq!(
            react(Kind::Text, padded(MAX_BYTES).as_bytes()),
            Reaction::SetTopics(topics(&["cats"]))
        );
        assert_eq!(
            complaint_about(Kind::Text, padded(MAX_BYTES + 1).as_bytes()),
            r#"{"error":"{\"topics\": [...]} or ping expected, of at most 262144 bytes"}"#
        );
        let escaped = |number: usize| {
            let digits = format!("{number:0255}");
            let escapes = digits.bytes().map(|digit| format!("\\u{digit:04x}"));
            format!("\"{}\"", escapes.collect::<String>())
        };
        let names: Vec<String> = (0..MAX_TOPICS).map(escaped).collect();
        let largest = format!("{{\"topics\": [{}]}}", names.join(", "));
        let Reaction::SetTopics(topics) = react(Kind::Text, largest.as_bytes()) else {
            panic!("a list of {} bytes is taken", largest.len());
        };
        assert!(topics.iter().all(|topic| topic.as_str().len() == 255));
        assert_eq!(topics.len(), MAX_TOPICS);
    }

    #[test]
    fn the_first_fault_of_a_list_is_told_and_a_name_said_again_is_none() {
        let mut names: Vec<String> = (0..MAX_TOPICS).map(|number| number.to_string()).collect();
        names.extend(vec!["7".to_owned(); 1000]);
        assert_eq!(
            check_topics(&names).map(|topics| topics.len()),
            Ok(MAX_TOPICS)
        );
        let late = |last: [&str; 2]| {
            let names = names.iter().map(String::as_str).chain(last);
            check_topics(&names.collect::<Vec<_>>()).unwrap_err()
        };
        assert!(late(["", "new"]).starts_with("topics: a topic name is"));
        assert!(late(["new", ""]).starts_with("topics: more than"));
    }

    #[test]
    fn one_topic_more_than_allowed_is_refused() {
        let names: Vec<String> = (0..=MAX_TOPICS).map(|number| number.to_string()).collect();
        assert_eq!(
            check_topics(&names[..MAX_TOPICS]).map(|topics| topics.len()),
            Ok(MAX_TOPICS)
        );
        assert_eq!(check_topics(&names), Err("topics: more than 128".into()));
    }
}
