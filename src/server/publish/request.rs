//! A message that is to be published, as a client asks for it.
//!
//! Pure: this file does no I/O.

use std::borrow::Cow;

use base64::{DecodeError, Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer};

use crate::{
    message::Message,
    server::{api::User, body, response::Rejection},
    topic::{
        TopicName,
        list::{InvalidTopics, Named, Topics},
    },
    user::UserId,
};

/// A message that is to be published.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct PublishRequest {
    /// At least one topic.
    pub(in crate::server) topics: Topics,
    pub(in crate::server) message: Message,
    /// The user that the message is for, or `None` if it is for everybody.
    pub(in crate::server) user: Option<UserId>,
}

/// The JSON object that asks for a message to be published.
///
/// Null is refused in every field. In `user_id`, for example, a publisher might send it when it does
/// not know the user's id, and the message would go to everybody.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    topic: Option<Text<'a>>,
    #[serde(default, deserialize_with = "present")]
    topics: Option<Named>,
    #[serde(borrow, default, deserialize_with = "present")]
    message: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    base64: Option<Text<'a>>,
    #[serde(default, deserialize_with = "present")]
    user_id: Option<User>,
}

/// A string, which is copied only if it has escapes.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Deserializes a field that is present. Unlike the deserialization of an `Option`, this refuses
/// null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl PublishRequest {
    /// Parses the JSON object that asks for a message of up to `limit_bytes` to be published.
    pub(in crate::server) fn parse(json: &[u8], limit_bytes: usize) -> Result<Self, Rejection> {
        let Fields {
            topic,
            topics,
            message,
            base64,
            user_id,
        } = body::parse(json)?;
        Ok(Self {
            topics: parse_topics(topic, topics)?,
            message: parse_message(message, base64, limit_bytes)?,
            user: user_id.map(|user| user.0),
        })
    }
}

fn parse_topics(topic: Option<Text<'_>>, topics: Option<Named>) -> Result<Topics, Rejection> {
    match (topic, topics) {
        (Some(Text(topic)), None) => TopicName::new(&topic)
            .map(Topics::from)
            .map_err(|error| Rejection::BadRequest(format!("topic: {error}"))),
        (None, Some(Named(Ok(topics)))) if topics.is_empty() => {
            Err(Rejection::bad_request(&InvalidTopics::None))
        }
        (None, Some(Named(topics))) => topics.map_err(|fault| Rejection::bad_request(&fault)),
        (None, None) => Err(Rejection::bad_request(&"missing field `topic` or `topics`")),
        (Some(_), Some(_)) => Err(Rejection::bad_request(
            &"`topic` and `topics`: only one of them is allowed",
        )),
    }
}

fn parse_message(
    message: Option<Text<'_>>,
    base64: Option<Text<'_>>,
    limit_bytes: usize,
) -> Result<Message, Rejection> {
    let check = |field, payload: &[u8]| {
        if payload.len() > limit_bytes {
            return Err(Rejection::MessageTooLarge { field, limit_bytes });
        }
        Ok(())
    };
    match (message, base64) {
        (Some(Text(text)), None) => {
            check("message", text.as_bytes())?;
            Ok(Message::text(&text))
        }
        (None, Some(Text(base64))) => {
            let decoded = STANDARD.decode(base64.as_bytes());
            let payload = decoded
                .map_err(|error| Rejection::BadRequest(format!("base64: {}", describe(&error))))?;
            check("base64", &payload)?;
            Ok(Message::binary(&payload))
        }
        (None, None) => Err(Rejection::bad_request(
            &"missing field `message` or `base64`",
        )),
        (Some(_), Some(_)) => Err(Rejection::bad_request(
            &"`message` and `base64`: only one of them is allowed",
        )),
    }
}

fn describe(error: &DecodeError) -> String {
    match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => {
            format!("invalid at byte {at}")
        }
        DecodeError::InvalidLength | DecodeError::InvalidPadding => {
            "not of whole groups of 4 characters, the last one padded with `=`".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT_BYTES: usize = 8;

    fn parse(json: &str) -> Result<PublishRequest, String> {
        let parsed = PublishRequest::parse(json.as_bytes(), LIMIT_BYTES);
        parsed.map_err(|rejection| rejection.to_string())
    }

    fn error_of(json: &str) -> String {
        parse(json).unwrap_err()
    }

    fn topics(names: &[&str]) -> Topics {
        let names = names.iter().map(|name| TopicName::new(name).unwrap());
        Topics::new(names).unwrap()
    }

    #[test]
    fn a_message_is_text_or_bytes_for_one_topic_or_several() {
        let request = |names: &[&str], message, user: Option<u64>| PublishRequest {
            topics: topics(names),
            message,
            user: user.map(UserId::from),
        };
        for (json, expected) in [
            (
                r#"{"topic": "a", "message": "x\u00e9"}"#,
                request(&["a"], Message::text("xé"), None),
            ),
            (
                r#"{"user_id": 7, "base64": "AP8=", "topic": "a"}"#,
                request(&["a"], Message::binary(&[0, 255]), Some(7)),
            ),
            (
                r#"{"topics": ["b", "a", "b"], "message": ""}"#,
                request(&["b", "a"], Message::text(""), None),
            ),
            (
                r#"{"topics": ["a"], "base64": "\u0041P8="}"#,
                request(&["a"], Message::binary(&[0, 255]), None),
            ),
            (
                r#"{"topic": "a", "base64": ""}"#,
                request(&["a"], Message::binary(&[]), None),
            ),
        ] {
            assert_eq!(parse(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn exactly_one_of_message_and_base64_and_of_topic_and_topics_is_needed() {
        for (json, error) in [
            (r#"{"topic": "a"}"#, "missing field `message` or `base64`"),
            (
                r#"{"topic": "a", "message": "", "base64": ""}"#,
                "`message` and `base64`: only one of them is allowed",
            ),
            (r#"{"message": ""}"#, "missing field `topic` or `topics`"),
            (
                r#"{"topic": "a", "topics": ["a"], "message": ""}"#,
                "`topic` and `topics`: only one of them is allowed",
            ),
            (r#"{"topics": [], "message": ""}"#, "topics: none"),
        ] {
            assert_eq!(error_of(json), error, "{json}");
        }
        for field in ["topic", "topics", "message", "base64", "user_id"] {
            let json = format!(r#"{{"{field}": null}}"#);
            let error = error_of(&json);
            assert!(
                error.starts_with(&format!("{field}: invalid type: null")),
                "{error}"
            );
        }
    }

    #[test]
    fn base64_is_the_standard_alphabet_with_its_padding() {
        let decoded = |base64: &str| {
            let request = parse(&format!(r#"{{"topic": "a", "base64": "{base64}"}}"#))?;
            Ok::<_, String>(request.message.payload().to_vec())
        };
        assert_eq!(decoded("+/8="), Ok(vec![0xFB, 0xFF]));
        assert_eq!(decoded("AAECAwQFBgc="), Ok((0..8).collect()));
        assert_eq!(decoded("AAECAwQFBgcI"), Err("base64: over 8 bytes".into()));
        for (base64, error) in [
            ("-_8=", "invalid at byte 0"),
            ("AP8\\nAP8=", "invalid at byte 3"),
            ("AP9=", "invalid at byte 2"),
            ("AP8", "not of whole groups"),
            ("A", "not of whole groups"),
            ("AP8==", "not of whole groups"),
            ("AP8=AP8=", ""),
            ("====", ""),
        ] {
            let refused = decoded(base64).unwrap_err();
            assert!(refused.starts_with("base64: "), "{base64}: {refused}");
            assert!(refused.contains(error), "{base64}: {refused}");
        }
    }

    #[test]
    fn a_message_of_the_limit_passes_and_one_byte_more_does_not() {
        let parse = |message: &str| {
            let json = format!(r#"{{"topic": "a", "message": "{message}"}}"#);
            PublishRequest::parse(json.as_bytes(), LIMIT_BYTES).map(drop)
        };
        assert_eq!(parse("12345678"), Ok(()));
        let too_large = Rejection::MessageTooLarge {
            field: "message",
            limit_bytes: LIMIT_BYTES,
        };
        assert_eq!(parse("123456789"), Err(too_large));
    }

    #[test]
    fn the_error_of_a_bad_field_names_it() {
        assert!(error_of(r#"{"topic": 1, "message": ""}"#).starts_with("topic: invalid type"));
        assert!(error_of(r#"{"topic":"a","message":"","user_id":[]}"#).starts_with("user_id: "));
        assert!(error_of(r#"{"topics":["a",1],"message":""}"#).starts_with("topics[1]: "));
        assert!(error_of(r#"{"topics":["a",""],"message":""}"#).starts_with("topics: a topic"));
        assert!(error_of(r#"{"topic":"a","base64":1}"#).starts_with("base64: invalid type"));
        assert!(error_of(r#"{"topic":"a","message":"","x":1}"#).contains("`x`"));
        assert!(error_of(r#"{"topic":"a","message":"","message":""}"#).contains("`message`"));
        assert!(error_of("{").starts_with("EOF"));
        assert!(error_of(r#"{"topic":"a","message":""} x"#).contains("trailing"));
        assert!(error_of(r#"["a", "", null]"#).contains("object"));
    }
}
