//! Encodes the messages that publishers send, of which only the stamps differ, and parses the
//! messages that subscribers receive.

use std::collections::BTreeSet;

use crate::{
    client::{messages::Message, relay},
    plan::{self, MessageFormat, PAYLOAD, Protocol, TOPIC, Target},
    scenario::payload::{Stamp, filler},
};

/// The encoding of all publications of one stream: the bytes before the stamp and those after it.
#[derive(Debug)]
pub(crate) struct Publication {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Publication {
    /// Encodes the publications to `topic` in the protocol of the server.
    pub(crate) fn new(
        protocol: &Protocol,
        format: MessageFormat,
        topic: &str,
        target: &Target,
    ) -> Self {
        let filler = filler(format.size - Stamp::BYTES);
        let filler = String::from_utf8_lossy(&filler);
        let payload = format!("{PLACEHOLDER}{filler}");
        let whole = match protocol {
            Protocol::Relay(base) => {
                let body = format!(r#"{{"topic":"{topic}","message":"{payload}"}}"#);
                relay::post(target, &format!("{base}/publish"), &body)
            }
            Protocol::Template(template) => {
                let message = template.publish.as_deref().unwrap_or(PAYLOAD);
                let message = message.replace(TOPIC, topic).replace(PAYLOAD, &payload);
                message.into_bytes()
            }
        };
        let start = whole
            .windows(PLACEHOLDER.len())
            .position(|bytes| bytes == PLACEHOLDER.as_bytes());
        let start = start.unwrap_or(whole.len());
        let end = start + PLACEHOLDER.len();
        Self {
            before: whole[..start].to_vec(),
            after: whole.get(end..).unwrap_or_default().to_vec(),
        }
    }

    /// Returns the bytes before the stamp and those after it.
    pub(crate) fn around_stamp(&self) -> (&[u8], &[u8]) {
        (&self.before, &self.after)
    }
}

/// A placeholder for the stamp, of the same length. No other part of a publication contains it,
/// because it consists of control characters.
const PLACEHOLDER: &str = "\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}\u{1}\u{2}";

const _: () = assert!(PLACEHOLDER.len() == Stamp::BYTES);

/// Parses the messages that subscribers receive.
#[derive(Debug)]
pub(crate) struct Delivery {
    filler: Vec<u8>,
    /// True if publications arrive as binary messages, false if as text. `None` if the server
    /// decides: one with a protocol of its own may deliver in another form than it is sent.
    is_binary: Option<bool>,
    topics: usize,
    streams: usize,
}

/// The part of a message to a subscriber in which no publication was looked for yet.
#[derive(Debug)]
pub(crate) struct Rest<'a> {
    message: Message<'a>,
    /// Stream and number of the publications before it, if they may come again in it.
    seen: BTreeSet<(usize, u64)>,
}

impl<'a> Rest<'a> {
    /// Returns the whole of `message`.
    pub(crate) fn whole(message: Message<'a>) -> Self {
        let seen = BTreeSet::new();
        Self { message, seen }
    }
}

/// A publication in a message to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// The filler after the stamp, or the type of the message, is not the one that was sent; or the
    /// stream is one of another topic.
    Corrupted,
    Stamp(Stamp),
}

impl Delivery {
    pub(crate) fn new(plan: &plan::Fanout) -> Self {
        Self {
            filler: filler(plan.format.size - Stamp::BYTES),
            is_binary: match &plan.protocol {
                // Published as a string of JSON.
                Protocol::Relay(_) => Some(false),
                Protocol::Template(template) if template.publish.is_some() => None,
                Protocol::Template(_) => Some(plan.format.is_binary),
            },
            topics: plan.topics,
            streams: plan.streams,
        }
    }

    /// Parses the next publication in a message to a subscriber of `topic`. Some servers put
    /// several publications into one message. One with a protocol of its own may also put one
    /// publication into several fields of a message, which is one delivery. `None` if no further
    /// publication follows. A message of the server itself, such as the confirmation of a
    /// subscription, has none.
    pub(crate) fn next(&self, topic: usize, rest: &mut Rest<'_>) -> Option<Delivered> {
        loop {
            let delivered = self.parse(topic, &mut rest.message)?;
            let Delivered::Stamp(stamp) = delivered else {
                return Some(delivered);
            };
            // Nearly all messages have one publication, for which nothing is allocated.
            let may_be_repeated =
                self.is_binary.is_none() && rest.message.payload.len() >= Stamp::BYTES;
            let place = (stamp.stream, stamp.sequence);
            let is_repeated = rest.seen.contains(&place);
            if may_be_repeated {
                rest.seen.insert(place);
            }
            if !is_repeated {
                return Some(delivered);
            }
        }
    }

    /// Parses the first publication in `message`, and removes it with all that is before it.
    fn parse(&self, topic: usize, message: &mut Message<'_>) -> Option<Delivered> {
        let Message { is_binary, payload } = *message;
        let (stamp, end) = Stamp::find(payload)?;
        let rest = &payload[end..];
        let (is_filled, payload) = match rest.strip_prefix(self.filler.as_slice()) {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let is_as_sent = is_filled && self.is_binary.is_none_or(|sent| sent == is_binary);
        let is_of_topic = stamp.stream % self.topics == topic && stamp.stream < self.streams;
        message.payload = payload;
        Some(if is_as_sent && is_of_topic {
            Delivered::Stamp(stamp)
        } else {
            Delivered::Corrupted
        })
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;
    use crate::{
        clock::Moment,
        plan::{Pace, ProtocolTemplate, tests::target},
    };

    const FORMAT: MessageFormat = MessageFormat {
        size: 40,
        is_binary: false,
    };

    const STAMP: Stamp = Stamp {
        stream: 3,
        sequence: 9,
        scheduled: Moment::from_nanos(77),
    };

    /// Returns a publication to topic `t` of the server `h`.
    fn published(protocol: &Protocol) -> Vec<u8> {
        let publication = Publication::new(protocol, FORMAT, "t", &target());
        let (before, after) = publication.around_stamp();
        [before, &STAMP.to_bytes(), after].concat()
    }

    /// Returns the protocol of a server that is sent `publish`, or the payload alone.
    fn template(publish: Option<&str>) -> Protocol {
        Protocol::Template(ProtocolTemplate {
            publish: publish.map(str::to_owned),
            ..ProtocolTemplate::default()
        })
    }

    /// Returns all publications in a text message to a subscriber of topic 1 of 2.
    fn delivered(protocol: &Protocol, payload: &[u8]) -> Vec<Delivered> {
        let is_binary = false;
        delivered_to(1, protocol, Message { is_binary, payload })
    }

    fn delivered_to(topic: usize, protocol: &Protocol, message: Message<'_>) -> Vec<Delivered> {
        let delivery = Delivery::new(&plan::Fanout {
            run: 1,
            subscribers: 2,
            first: 0,
            publishers: 4,
            topics: 2,
            streams: 4,
            format: FORMAT,
            pace: Pace::InFlight(1),
            protocol: protocol.clone(),
        });
        let mut rest = Rest::whole(message);
        iter::from_fn(|| delivery.next(topic, &mut rest)).collect()
    }

    #[test]
    fn without_a_template_a_message_is_stamp_and_filler() {
        let protocol = template(None);
        let message = published(&protocol);
        assert_eq!(&message, b"fcl:0003000000000009000000000000004dabcd");
        assert_eq!(delivered(&protocol, &message), [Delivered::Stamp(STAMP)]);
    }

    #[test]
    fn a_template_is_filled_in_and_its_stamp_is_found_again() {
        let protocol = template(Some(r#"{"to":"{topic}","data":"{payload}"}"#));
        let message = published(&protocol);
        assert!(message.starts_with(br#"{"to":"t","data":"fcl:0003"#));
        for prefix in [b"".as_slice(), b"xx", b"xx"] {
            let message = [prefix, &message].concat();
            assert_eq!(delivered(&protocol, &message), [Delivered::Stamp(STAMP)]);
        }
        assert!(delivered(&protocol, b"{\"subscribed\":\"t\"}").is_empty());
    }

    #[test]
    fn every_publication_in_a_message_counts() {
        let protocol = template(Some("{payload}"));
        let one = b"fcl:0003000000000009000000000000004dabcd";
        let other = b"fcl:000300000000000a000000000000004dabcd";
        let next = Stamp {
            sequence: 10,
            ..STAMP
        };
        let both = [Delivered::Stamp(STAMP), Delivered::Stamp(next)];
        for (before, between, after) in [("", "", ""), ("", "\n", "\n"), ("[\"", "\",\"", "\"]")] {
            let [before, between, after] = [before, between, after].map(str::as_bytes);
            let message = [before, one, between, other, after].concat();
            assert_eq!(delivered(&protocol, &message), both);
        }
        let changed = [&one[..38], b"XX", other].concat();
        let expected = [Delivered::Corrupted, Delivered::Stamp(next)];
        assert_eq!(delivered(&protocol, &changed), expected);
        let cut = [one.as_slice(), &other[..35]].concat();
        assert_eq!(delivered(&protocol, &cut), [Delivered::Stamp(STAMP)]);
    }

    #[test]
    fn a_publication_in_several_fields_of_a_message_is_one_delivery() {
        let one = "fcl:0003000000000009000000000000004dabcd";
        let other = "fcl:000300000000000a000000000000004dabcd";
        let next = Stamp {
            sequence: 10,
            ..STAMP
        };
        let both = [Delivered::Stamp(STAMP), Delivered::Stamp(next)];
        let template = template(Some("{payload}"));
        for message in [
            format!(r#"[{{"text":"{one}","html":"{one}"}},{{"text":"{other}","html":"{other}"}}]"#),
            format!(r#"{{"texts":["{one}","{other}"],"htmls":["{one}","{other}"]}}"#),
        ] {
            assert_eq!(delivered(&template, message.as_bytes()), both);
        }
        // A field with another filler is not what was sent.
        let changed = [one, one].concat().replacen("abcd", "abXd", 1);
        let expected = [Delivered::Corrupted, Delivered::Stamp(STAMP)];
        assert_eq!(delivered(&template, changed.as_bytes()), expected);
        // Without a protocol of its own, a server that sends it twice has no fields for it.
        let twice = [one, "\n", one].concat();
        let expected = [Delivered::Stamp(STAMP); 2];
        assert_eq!(delivered(&self::template(None), twice.as_bytes()), expected);
    }

    #[test]
    fn the_type_of_a_message_is_part_of_it_unless_the_server_decides() {
        let payload = b"fcl:0003000000000009000000000000004dabcd";
        for (protocol, text, binary) in [
            (template(None), true, false),
            (Protocol::Relay(String::new()), true, false),
            (template(Some("{payload}")), true, true),
        ] {
            for (is_binary, is_right) in [(false, text), (true, binary)] {
                let expected = if is_right {
                    Delivered::Stamp(STAMP)
                } else {
                    Delivered::Corrupted
                };
                let message = Message { is_binary, payload };
                assert_eq!(delivered_to(1, &protocol, message), [expected]);
            }
        }
    }

    #[test]
    fn a_relay_is_sent_a_request_with_the_right_length() {
        let request = published(&Protocol::Relay("/base".into()));
        let request = String::from_utf8(request).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /base/publish HTTP/1.1\r\nHost: h\r\n"));
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        assert!(body.starts_with(r#"{"topic":"t","message":"fcl:0003"#));
    }

    #[test]
    fn a_stream_of_another_topic_is_corrupted() {
        for (stream, topic, is_right) in [("3", 1, true), ("3", 0, false), ("5", 1, false)] {
            let payload = format!("fcl:000{stream}000000000009000000000000004dabcd");
            let message = Message {
                is_binary: false,
                payload: payload.as_bytes(),
            };
            let delivered = delivered_to(topic, &template(None), message);
            assert_eq!(delivered != [Delivered::Corrupted], is_right, "{payload}");
        }
    }

    #[test]
    fn a_changed_filler_is_corrupted() {
        // The third letter of the filler is changed.
        let message = b"fcl:0003000000000009000000000000004dabXd";
        assert_eq!(delivered(&template(None), message), [Delivered::Corrupted]);
    }
}
