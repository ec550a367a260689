//! What the frames of a client mean to an echo: the messages, and the end of the conversation.

use framecast::wire::{frame::Kind, violation::Violation};

use crate::oracle::{Decoded, Frame};

/// What the frames mean, up to the first Close.
#[derive(Debug, Default)]
pub struct Talk {
    pub messages: Vec<(Kind, Vec<u8>)>,
    /// The frames that the messages came in, and those of one that has not ended.
    pub data: Vec<Frame>,
    pub pings: Vec<Vec<u8>>,
    pub end: End,
}

/// How a conversation ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// With the stream.
    #[default]
    Lost,
    /// With a Close, which is to be echoed.
    ByPeer(Vec<u8>),
    Violation(Violation),
    /// With a Close whose code must not be sent; what follows the code.
    InvalidCode(Vec<u8>),
}

impl Decoded {
    pub fn talk(self) -> Talk {
        let mut talk = Talk::default();
        let mut message: Option<Vec<u8>> = None;
        let mut kinds = self.kinds.into_iter();
        for frame in self.frames {
            match frame.opcode() {
                8 => {
                    talk.end = on_close(frame.payload);
                    return talk;
                }
                9 => talk.pings.push(frame.payload),
                10 => {}
                _ => {
                    message.get_or_insert_default().extend(&frame.payload);
                    if frame.is_final() {
                        let kind = kinds.next().expect("every message has a kind");
                        talk.messages
                            .push((kind, message.take().unwrap_or_default()));
                    }
                    talk.data.push(frame);
                }
            }
        }
        talk.end = self.violation.map_or(End::Lost, End::Violation);
        talk
    }
}

fn on_close(payload: Vec<u8>) -> End {
    let [a, b, reason @ ..] = &payload[..] else {
        return match payload.len() {
            0 => End::ByPeer(payload),
            _ => End::Violation(Violation::InvalidClose),
        };
    };
    if str::from_utf8(reason).is_err() {
        return End::Violation(Violation::InvalidUtf8);
    }
    // 1014 may be sent too, since 2018; fastwebsockets does not know it.
    match u16::from_be_bytes([*a, *b]) {
        1000..=1003 | 1007..=1013 | 3000..=4999 => End::ByPeer(payload),
        _ => End::InvalidCode(reason.to_vec()),
    }
}
