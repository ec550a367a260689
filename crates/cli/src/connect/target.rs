//! The target of a connection: a `ws` URL, with topics in its query, and the headers for it.
//!
//! Pure.

use std::fmt;

use crate::{header::Headers, url::Url};

/// A URL in the form that the opening handshake needs.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    /// Path and query for the request line, topics included.
    pub(super) path_and_query: String,
    /// The headers that the user adds to the opening handshake.
    pub(super) headers: Headers,
}

impl Target {
    /// Parses `url`, and appends each of `topics` to its query.
    pub(super) fn parse(url: &str, topics: &[String], headers: Headers) -> anyhow::Result<Self> {
        let url = Url::parse(url, "ws")?;
        let mut query = url.query.clone().unwrap_or_default();
        for topic in topics {
            if !query.is_empty() && !query.ends_with('&') {
                query.push('&');
            }
            query.push_str("topic=");
            query.extend(form_urlencoded::byte_serialize(topic.as_bytes()));
        }
        let path_and_query = match query.as_str() {
            "" => url.path.clone(),
            query => format!("{}?{query}", url.path),
        };
        Ok(Self {
            url,
            path_and_query,
            headers,
        })
    }

    /// Returns the value of the `Host` header.
    pub(super) fn host(&self) -> &str {
        self.headers.host.as_ref().unwrap_or(&self.url.authority)
    }
}

/// Writes the URL without its query, which may contain a token.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ws://{}{}", self.url.authority, self.url.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_appended_to_the_query() {
        let topics = ["cats".to_owned(), "a&b=c d/é".to_owned()];
        let target = |url| {
            Target::parse(url, &topics, Headers::default())
                .unwrap()
                .path_and_query
        };
        let encoded = "topic=cats&topic=a%26b%3Dc+d%2F%C3%A9";
        assert_eq!(target("ws://h"), format!("/?{encoded}"));
        assert_eq!(target("ws://h/ws"), format!("/ws?{encoded}"));
        assert_eq!(target("ws://h/ws?"), format!("/ws?{encoded}"));
        assert_eq!(target("ws://h/ws?a=1"), format!("/ws?a=1&{encoded}"));
    }

    #[test]
    fn the_query_is_requested_but_not_displayed() {
        let target = Target::parse("ws://h:1/ws?token=1", &[], Headers::default()).unwrap();
        assert_eq!(target.path_and_query, "/ws?token=1");
        assert_eq!(target.to_string(), "ws://h:1/ws");
    }
}
