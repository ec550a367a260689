//! Encodes the messages that publishers send, of which only the stamps differ, and parses the
//! messages that subscribers receive.

use crate::{
    client::relay,
    plan::{MessageFormat, PAYLOAD, Protocol, TOPIC},
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
        authority: &str,
    ) -> Self {
        let filler = filler(format.size - Stamp::BYTES);
        let filler = String::from_utf8_lossy(&filler);
        let payload = format!("{PLACEHOLDER}{filler}");
        let whole = match protocol {
            Protocol::Relay(base) => {
                let body = format!(r#"{{"topic":"{topic}","message":"{payload}"}}"#);
                relay::post(authority, &format!("{base}/publish"), &body)
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

    /// Returns the bytes before and after the stamp.
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
    /// Offset of the stamp in the last message. Most often the stamp of the next message has the
    /// same offset.
    offset: usize,
}

/// The content of a message to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// The filler after the stamp differs from what was sent, or the stamp is that of another
    /// topic.
    Corrupted,
    Stamp(Stamp),
    /// A message of the server itself, such as the confirmation of a subscription.
    Unstamped,
}

impl Delivery {
    pub(crate) fn new(format: MessageFormat) -> Self {
        Self {
            filler: filler(format.size - Stamp::BYTES),
            offset: 0,
        }
    }

    pub(crate) fn read(&mut self, message: &[u8]) -> Delivered {
        let at = |offset| Stamp::read(message.get(offset..)?);
        let stamp = at(self.offset).or_else(|| {
            self.offset = Stamp::find(message)?;
            at(self.offset)
        });
        let Some(stamp) = stamp else {
            return Delivered::Unstamped;
        };
        if message[self.offset + Stamp::BYTES..].starts_with(&self.filler) {
            Delivered::Stamp(stamp)
        } else {
            Delivered::Corrupted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Moment, plan::ProtocolTemplate};

    const FORMAT: MessageFormat = MessageFormat {
        size: 40,
        is_binary: false,
    };

    const STAMP: Stamp = Stamp {
        stream: 3,
        sequence: 9,
        scheduled: Moment::from_nanos(77),
    };

    fn published(publication: &Publication) -> Vec<u8> {
        let (before, after) = publication.around_stamp();
        [before, &STAMP.to_bytes(), after].concat()
    }

    #[test]
    fn without_a_template_a_message_is_stamp_and_filler() {
        let protocol = Protocol::Template(ProtocolTemplate::default());
        let message = published(&Publication::new(&protocol, FORMAT, "t", "h"));
        assert_eq!(&message, b"fcl:0003000000000009000000000000004dabcd");
        let mut delivery = Delivery::new(FORMAT);
        assert_eq!(delivery.read(&message), Delivered::Stamp(STAMP));
    }

    #[test]
    fn a_template_is_filled_in_and_its_stamp_is_found_again() {
        let template = ProtocolTemplate {
            publish: Some(r#"{"to":"{topic}","data":"{payload}"}"#.into()),
            ..ProtocolTemplate::default()
        };
        let message = published(&Publication::new(
            &Protocol::Template(template),
            FORMAT,
            "t",
            "h",
        ));
        assert!(message.starts_with(br#"{"to":"t","data":"fcl:0003"#));
        let mut delivery = Delivery::new(FORMAT);
        // In the second message the stamp has another offset than in the first one.
        for prefix in [b"".as_slice(), b"xx", b"xx"] {
            let message = [prefix, &message].concat();
            assert_eq!(delivery.read(&message), Delivered::Stamp(STAMP));
        }
        assert_eq!(
            delivery.read(b"{\"subscribed\":\"t\"}"),
            Delivered::Unstamped
        );
    }

    #[test]
    fn a_relay_is_sent_a_request_with_the_right_length() {
        let publication = Publication::new(&Protocol::Relay("/base".into()), FORMAT, "t", "h");
        let request = String::from_utf8(published(&publication)).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /base/publish HTTP/1.1\r\nHost: h\r\n"));
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        assert!(body.starts_with(r#"{"topic":"t","message":"fcl:0003"#));
    }

    #[test]
    fn a_changed_filler_is_corrupted() {
        // The third letter of the filler is changed.
        let message = b"fcl:0003000000000009000000000000004dabXd";
        assert_eq!(Delivery::new(FORMAT).read(message), Delivered::Corrupted);
    }
}
