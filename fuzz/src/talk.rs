//! What the frames of a peer mean to an echo: the messages, and the end of the conversation.

use framecast_wire::{frame::Kind, protocol_error::ProtocolError, validator::MessageInfo};

use crate::{
    inflate,
    oracle::{Decoded, Frame},
};

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
    ProtocolError(ProtocolError),
    /// With a compressed message that is both too big and broken: either may be told.
    Bomb,
    /// With a Close whose code must not be sent; what follows the code.
    InvalidCode(Vec<u8>),
}

impl Decoded {
    /// To an echo that takes messages of `limit` bytes.
    pub fn talk(self, limit: usize) -> Talk {
        let mut talk = Talk::default();
        let mut message: Option<Vec<u8>> = None;
        let mut infos = self.infos.into_iter();
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
                        let info = infos.next().expect("each message was recorded");
                        let payload = message.take().unwrap_or_default();
                        match opened(info, payload, limit) {
                            Ok(payload) => talk.messages.push((info.kind, payload)),
                            Err(end) => {
                                talk.end = end;
                                return talk;
                            }
                        }
                    }
                    talk.data.push(frame);
                }
            }
        }
        talk.end = self.error.map_or(End::Lost, End::ProtocolError);
        talk
    }
}

/// A message inflated, if it is compressed.
fn opened(info: MessageInfo, payload: Vec<u8>, limit: usize) -> Result<Vec<u8>, End> {
    if !info.is_deflated {
        return Ok(payload);
    }
    let payload = inflate::message(&payload, limit).map_err(|faults| match faults[..] {
        [fault] => End::ProtocolError(fault),
        _ => End::Bomb,
    })?;
    if info.kind == Kind::Text && str::from_utf8(&payload).is_err() {
        return Err(End::ProtocolError(ProtocolError::InvalidUtf8));
    }
    Ok(payload)
}

fn on_close(payload: Vec<u8>) -> End {
    let [a, b, reason @ ..] = &payload[..] else {
        return match payload.len() {
            0 => End::ByPeer(payload),
            _ => End::ProtocolError(ProtocolError::InvalidClose),
        };
    };
    if str::from_utf8(reason).is_err() {
        return End::ProtocolError(ProtocolError::InvalidUtf8);
    }
    // 1014 may be sent too, since 2018; fastwebsockets does not know it.
    match u16::from_be_bytes([*a, *b]) {
        1000..=1003 | 1007..=1013 | 3000..=4999 => End::ByPeer(payload),
        _ => End::InvalidCode(reason.to_vec()),
    }
}
