//! The relay: the protocol of registered connections. Such a connection receives what is published
//! to its topics. It may send only a change of its topics, or `ping`. A registration has one
//! connection: a new one takes over from the older one, which may be dead without anybody's notice.
//!
//! [`registry`] keeps the registrations.

pub(crate) mod registry;

use serde::{Deserialize, Serialize};

use self::registry::Claim;
use crate::{
    disconnect::Disconnect,
    protocol::{Context, Incoming, Protocol, json, json::json},
    topic::{
        TopicName,
        list::{Named, Topics},
    },
    wire::frame::{Frame, Kind},
};

/// The protocol of a registered connection.
pub(crate) struct Relay {
    claim: Claim,
}

/// The reaction of the relay to a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// The relay replies with this frame.
    Reply(Frame),
    /// The relay subscribes the connection to these topics, in place of its present ones, and
    /// confirms that.
    SetTopics(Topics),
}

impl Relay {
    pub(crate) fn new(claim: Claim) -> Self {
        Self { claim }
    }
}

impl Protocol for Relay {
    fn on_open(&mut self, cx: &mut Context<'_>) {
        let Some(topics) = self.claim.topics() else {
            return cx.end(Disconnect::Unregistered);
        };
        // A failure is a lack of memory, and has ended this connection. An older one with the same
        // id stays.
        if cx.set_topics(&topics).is_err() {
            return;
        }
        let Some(taken_over) = self.claim.take_over(cx.connection()) else {
            return cx.end(Disconnect::Unregistered);
        };
        // The older connection may have changed them since they were read.
        if taken_over.topics != topics {
            let _ = cx.set_topics(&taken_over.topics);
        }
        // Ended last, so that each message reaches one of the two.
        if let Some(previous) = taken_over.previous {
            cx.end_other(previous, Disconnect::TakenOver);
        }
    }

    fn on_message(&mut self, message: Incoming<'_>, cx: &mut Context<'_>) {
        match react(message.kind(), message.payload()) {
            Reaction::Reply(frame) => cx.reply_frame(frame),
            Reaction::SetTopics(topics) => {
                if cx.set_topics(&topics).is_ok() {
                    self.claim.set_topics(&topics);
                    cx.reply_frame(topics_in_force(&topics));
                }
            }
        }
    }
}

/// The message with which a client changes the topics of its connection: the list of all topics
/// that it is to follow.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    topics: Named,
}

/// The message that confirms a change of topics, with the topics that the connection follows now.
#[derive(Serialize)]
struct InForce<'a> {
    topics: Vec<&'a str>,
}

/// Returns the reaction to a message from the client. `ping` is answered with `pong`, a list of
/// topics replaces the connection's topics, and anything else is answered with an error on one line
/// of JSON.
pub(crate) fn react(kind: Kind, payload: &[u8]) -> Reaction {
    let text = match kind {
        // So large a text is not parsed, because that would hold up the shard's other connections.
        Kind::Text if payload.len() > MAX_BYTES => {
            return error_reply(&format!("{EXPECTED}, of at most {MAX_BYTES} bytes"));
        }
        Kind::Text => str::from_utf8(payload).unwrap_or_default(),
        Kind::Binary => return error_reply("text expected"),
    };
    if text == "ping" {
        return Reaction::Reply(Frame::text("pong"));
    }
    if !text.trim_ascii_start().starts_with('{') {
        // serde would also accept an array that has the struct's fields in their order.
        return error_reply(EXPECTED);
    }
    match serde_json::from_str(text) {
        Ok(Wanted {
            topics: Named(topics),
        }) => match topics {
            Ok(topics) => Reaction::SetTopics(topics),
            Err(fault) => error_reply(&fault.to_string()),
        },
        Err(error) => error_reply(&format!("{EXPECTED}: {error}")),
    }
}

/// Returns the frame that confirms a change of topics: the list of the topics that the connection
/// follows now.
pub(crate) fn topics_in_force(topics: &[TopicName]) -> Frame {
    let topics = topics.iter().map(TopicName::as_str).collect();
    Frame::text(&json(&InForce { topics }))
}

fn error_reply(error: &str) -> Reaction {
    Reaction::Reply(Frame::text(&json::error_line(error)))
}

const EXPECTED: &str = "{\"topics\": [...]} or ping expected";

/// Size of the largest message that the relay parses, in bytes. A list of 128 names of 255 bytes,
/// with every byte escaped (`\u0041`), takes less.
const MAX_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::list::MAX_TOPICS;

    fn topics(names: &[&str]) -> Topics {
        let names = names.iter().map(|name| TopicName::new(name).unwrap());
        Topics::new(names).unwrap()
    }

    /// Gives the relay a message that it must reject. Returns the error that it replies with, as
    /// JSON.
    fn error_for(kind: Kind, payload: &[u8]) -> String {
        let Reaction::Reply(frame) = react(kind, payload) else {
            panic!("no error for {payload:?}");
        };
        // The payload begins behind the header of the frame.
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
    fn a_list_replaces_the_topics_and_a_topic_named_twice_counts_once() {
        let wanted = br#"{"topics": ["cats", "dogs", "cats"]}"#;
        assert_eq!(
            react(Kind::Text, wanted),
            Reaction::SetTopics(topics(&["cats", "dogs"]))
        );
        assert_eq!(
            react(Kind::Text, br#"{"topics": []}"#),
            Reaction::SetTopics(topics(&[]))
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
            // JSON with line breaks and control characters, which the error may quote.
            "{\n\"a\":\u{1b}\n}",
            "{\"a\u{7f}\u{9b}\":1}",
            // Not a list, an empty name, and a list without its object.
            r#"{"topics": "cats"}"#,
            r#"{"topics": [""]}"#,
            r#"[["cats"]]"#,
        ] {
            let line = error_for(Kind::Text, payload.as_bytes());
            assert!(line.starts_with("{\"error\":\""), "{line}");
            assert!(!line.contains(char::is_control), "{line}");
        }
        assert_eq!(
            error_for(Kind::Binary, b"ping"),
            r#"{"error":"text expected"}"#
        );
    }

    #[test]
    fn a_message_larger_than_any_list_of_topics_is_not_parsed() {
        let list = r#"{"topics": ["cats"]}"#;
        let padded = |bytes: usize| format!("{list}{}", " ".repeat(bytes - list.len()));
        assert_eq!(
            react(Kind::Text, padded(MAX_BYTES).as_bytes()),
            Reaction::SetTopics(topics(&["cats"]))
        );
        assert_eq!(
            error_for(Kind::Text, padded(MAX_BYTES + 1).as_bytes()),
            r#"{"error":"{\"topics\": [...]} or ping expected, of at most 262144 bytes"}"#
        );
        // A JSON string with a name of 255 digits, each of them escaped.
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
}
