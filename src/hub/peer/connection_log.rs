//! The log of a connection: the facts about it that are logged when it begins and when it ends.
//!
//! A connection has such a log only if the level `debug` of [`TARGET`] is logged when the connection
//! is made. All others count nothing.

use std::{fmt, net::SocketAddr, time::Instant};

use crate::topic::TopicName;

/// The facts about a connection that are logged when it begins and when it ends.
#[derive(Debug, Default)]
pub(in crate::hub) struct ConnectionLog {
    /// The time at which the connection got its socket, and the address of its client.
    pub(super) begun: Option<(Instant, Option<SocketAddr>)>,
    /// The pattern of the path that the client has requested.
    pub(in crate::hub) path: Option<&'static str>,
    pub(in crate::hub) received: Traffic,
    /// Messages that were queued for the client, and bytes that its socket has taken.
    pub(in crate::hub) sent: Traffic,
    pub(in crate::hub) topics: ShownTopics,
    /// Number of published messages that were queued and that the socket has not taken.
    pub(in crate::hub) dropped: u64,
    /// The topic of the messages that were dropped when the connection ended, if they have only one.
    pub(in crate::hub) dropped_topic: Option<TopicName>,
    /// True if the closing handshake was complete in time.
    pub(in crate::hub) is_orderly: bool,
}

/// A number of messages and of bytes. The bytes are those of the stream, with the headers of frames
/// and with control frames.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::hub) struct Traffic {
    pub(in crate::hub) messages: u64,
    pub(in crate::hub) bytes: u64,
}

/// The topics that a connection follows, as the log shows them: the first [`MOST_SHOWN`] names, and
/// the number of all topics.
#[derive(Default)]
pub(in crate::hub) struct ShownTopics {
    names: Vec<TopicName>,
    pub(super) count: usize,
}

impl ShownTopics {
    pub(in crate::hub) fn new<'a>(topics: impl Iterator<Item = &'a TopicName>) -> Self {
        let mut shown = Self::default();
        for topic in topics {
            shown.count += 1;
            if shown.names.len() < MOST_SHOWN {
                shown.names.push(topic.clone());
            }
        }
        shown
    }
}

/// Formats the names as a list of escaped literals.
impl fmt::Debug for ShownTopics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.iter().map(TopicName::as_str);
        f.debug_list().entries(names).finish()
    }
}

impl ConnectionLog {
    /// Returns the address that the client had when the connection began.
    pub(in crate::hub) fn address(&self) -> Option<SocketAddr> {
        self.begun.and_then(|(_, address)| address)
    }
}

/// The target of the lines about the begin and the end of connections.
pub(in crate::hub) const TARGET: &str = "framecast::connection";

/// Greatest number of topics that a line names. A line about 128 topics with the longest names would
/// have 32 KiB.
const MOST_SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_first_eight_topics_escaped_and_the_number_of_all() {
        let names = (0..128).map(|number| TopicName::new(&format!("\"{number}\u{202e}")));
        let names: Vec<TopicName> = names.map(Result::unwrap).collect();
        let shown = ShownTopics::new(names.iter());
        assert_eq!(shown.count, 128);
        let text = format!("{shown:?}");
        assert!(
            text.starts_with(r#"["\"0\u{202e}", "\"1\u{202e}", "#),
            "{text}"
        );
        assert!(text.ends_with(r#", "\"7\u{202e}"]"#), "{text}");
    }
}
