//! What messages mean, by the path that a client has connected to. Pure: a message in, a
//! [`Reaction`] out.
//!
//! [`relay`] has the relay, whose messages are a list of topics.

pub(crate) mod relay;

use std::fmt::Write;

use serde::Serialize;

use crate::{
    topic::TopicName,
    wire::frame::{Frame, Kind},
};

/// What to do about a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Publish this to the connection's topics.
    Publish(Frame),
    /// Send this back.
    Reply(Frame),
    /// Follow these topics from now on, and say so when that is in force.
    SetTopics(Vec<TopicName>),
}

/// The echo: every message goes back as it came.
pub(crate) fn echo(kind: Kind, payload: &[u8]) -> Reaction {
    Reaction::Reply(Frame::message(kind, payload))
}

/// The chat room: every message goes to all who follow the connection's topics.
pub(crate) fn chat(kind: Kind, payload: &[u8]) -> Reaction {
    Reaction::Publish(Frame::message(kind, payload))
}

#[derive(Serialize)]
struct Complaint<'a> {
    error: &'a str,
}

/// What was wrong, for whoever has sent it: `{"error":"..."}`.
pub(crate) fn complaint(error: &str) -> String {
    json(&Complaint { error })
}

/// JSON on one line: control characters of what a client has sent are escaped.
pub(crate) fn json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    if !json.contains(char::is_control) {
        return json;
    }
    // serde_json escapes those of ASCII, but for the last; a terminal may obey the others too.
    let mut escaped = String::with_capacity(json.len() + 6);
    for character in json.chars() {
        if character.is_control() {
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_comes_through_and_none_is_lost() {
        let all: String = (0..=0xA0).filter_map(char::from_u32).collect();
        let line = json(&all);
        assert!(!line.contains(char::is_control), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).ok(), Some(all));
    }
}
