//! The body of a `POST /publish`.
//!
//! Pure.

use anyhow::anyhow;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

/// The body of the request. It has either a topic or topics, and either a message or base64.
#[derive(Debug, Default, Serialize)]
pub(super) struct PublishRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topics: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId<'a>>,
}

impl<'a> PublishRequest<'a> {
    /// Fails if the message is to be a text, and is not UTF-8.
    pub(super) fn new(
        topics: &'a [String],
        message: Vec<u8>,
        is_binary: bool,
        user_id: Option<UserId<'a>>,
    ) -> anyhow::Result<Self> {
        let mut request = Self {
            user_id,
            ..Self::default()
        };
        match topics {
            [topic] => request.topic = Some(topic),
            topics => request.topics = Some(topics),
        }
        if is_binary {
            request.base64 = Some(STANDARD.encode(message));
        } else {
            let message = String::from_utf8(message);
            let message = message.map_err(|_| anyhow!("the message is not UTF-8, use --binary"))?;
            request.message = Some(message);
        }
        Ok(request)
    }
}

/// The id of a user, which is sent as a JSON number or as a JSON string. The server takes both.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum UserId<'a> {
    Number(u64),
    Text(&'a str),
}

impl<'a> UserId<'a> {
    pub(super) fn parse(id: &'a str) -> Self {
        match id.parse::<u64>() {
            // `007` and `+7` are other ids than `7`.
            Ok(number) if number.to_string() == id => Self::Number(number),
            _ => Self::Text(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_a_number_only_if_it_is_written_like_one() {
        assert_eq!(UserId::parse("42"), UserId::Number(42));
        // The last number is 2^64, which is one more than a number can be.
        for id in ["alice", "007", "+7", "-1", "18446744073709551616", ""] {
            assert_eq!(UserId::parse(id), UserId::Text(id));
        }
    }

    #[test]
    fn the_body_has_no_field_for_an_option_that_is_not_given() {
        let cats = ["cats".to_owned()];
        let both = ["cats".to_owned(), "dogs".to_owned()];
        let json = |topics: &[String], message: &[u8], is_binary, user_id| {
            let request = PublishRequest::new(topics, message.to_vec(), is_binary, user_id);
            serde_json::to_string(&request.unwrap()).unwrap()
        };
        assert_eq!(
            json(&cats, b"\"meow\"", false, None),
            r#"{"topic":"cats","message":"\"meow\""}"#
        );
        assert_eq!(
            json(&both, b"\0\xff", true, Some(UserId::Number(7))),
            r#"{"topics":["cats","dogs"],"base64":"AP8=","user_id":7}"#
        );
    }
}
