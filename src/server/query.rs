//! The query of a request's target, decoded as a form
//! ([URL §5.1](https://url.spec.whatwg.org/#urlencoded-parsing)), and the topics in it.

use crate::{
    server::response::Rejection,
    topic::list::{InvalidTopics, TopicList, Topics},
};

/// Returns the topics in a query such as `topic=a&topic=b`, or the topic `lobby` if the query names
/// none. Other keys are ignored, except those by which `topic` was probably meant.
pub(super) fn chat_topics(query: &str) -> Result<Topics, Rejection> {
    let mut list = TopicList::default();
    for pair in query.split('&') {
        let (key, name) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(key) = decoded(key) else {
            continue;
        };
        if key == "topic" {
            // Bytes that are not UTF-8 are not replaced by a character: different names would
            // become the same topic.
            let name = decoded(name)
                .ok_or_else(|| Rejection::bad_request(&"topic: a name is not UTF-8"))?;
            list.add(&name).map_err(|fault| match fault {
                InvalidTopics::Name(fault) => Rejection::BadRequest(format!("topic: {fault}")),
                fault => Rejection::bad_request(&fault),
            })?;
        } else if MISTAKEN.iter().any(|each| key.eq_ignore_ascii_case(each)) {
            return Err(Rejection::BadRequest(format!(
                "{key}: topic is meant, as in ?topic=a&topic=b"
            )));
        }
    }
    Ok(list.or("lobby"))
}

/// Decodes a key or a value. Returns `None` if it is not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        bytes.push(match (first, after) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    16 * high + low
                }
                // A percent sign that begins no escape stands for itself.
                _ => b'%',
            },
            _ => *first,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// Keys with which clients of other servers name a topic, in any case. Without an error, such a
/// client would be in the lobby and not know it.
const MISTAKEN: [&str; 4] = ["topic", "topics", "channel", "room"];

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the topics of a query, or the reason for which it is rejected.
    fn topics(query: &str) -> Result<Vec<String>, String> {
        let topics = chat_topics(query).map_err(|rejection| rejection.to_string())?;
        let names = topics.iter().map(|topic| topic.as_str().to_owned());
        Ok(names.collect())
    }

    #[test]
    fn a_chat_room_has_the_topics_of_the_query() {
        for (query, names) in [
            ("", &["lobby"][..]),
            ("x=1", &["lobby"]),
            ("&&=&x", &["lobby"]),
            ("topic=a&topic=b&topic=a", &["a", "b"]),
            ("topic=a%20b+c%2F%C3%A9", &["a b c/é"]),
            ("t%6Fpic=a", &["a"]),
            ("topic=a=b", &["a=b"]),
            ("topic=100%", &["100%"]),
            ("topic=%zz%2", &["%zz%2"]),
        ] {
            let names = names.iter().map(ToString::to_string).collect();
            assert_eq!(topics(query), Ok(names), "{query}");
        }
        for query in ["topic=", "topic", "topic=a%0Ab", "topic=a&topic="] {
            assert!(topics(query).unwrap_err().starts_with("topic: a topic"));
        }
    }

    #[test]
    fn a_name_may_have_the_replacement_character_but_must_be_utf_8() {
        for query in ["topic=a%EF%BF%BD", "topic=a%ef%bf%bd", "topic=a\u{FFFD}"] {
            assert_eq!(topics(query).unwrap(), ["a\u{FFFD}"]);
        }
        for query in ["topic=%FF", "topic=a&topic=%C3%28", "topic=%EF%BF\u{FFFD}"] {
            assert_eq!(topics(query).unwrap_err(), "topic: a name is not UTF-8");
        }
        assert_eq!(topics("%FF=1&x=%FF").unwrap(), ["lobby"]);
    }

    #[test]
    fn a_key_by_which_topic_was_meant_is_refused_and_other_keys_are_ignored() {
        for (key, decoded) in [
            ("topics", "topics"),
            ("Topic", "Topic"),
            ("TOPICS", "TOPICS"),
            ("channel", "channel"),
            ("Channel", "Channel"),
            ("room", "room"),
            ("%72oom", "room"),
        ] {
            let meant = format!("{decoded}: topic is meant, as in ?topic=a&topic=b");
            assert_eq!(topics(&format!("{key}=a")), Err(meant.clone()));
            assert_eq!(topics(&format!("{key}=&x")), Err(meant.clone()));
            assert_eq!(topics(&format!("topic=a&{key}")), Err(meant));
        }
        for key in [
            "token", "topic_id", "topic[]", "topic%00", "rooms", "x-topic", "+topic", "t", "",
        ] {
            assert_eq!(topics(&format!("{key}=a")).unwrap(), ["lobby"]);
        }
    }
}
