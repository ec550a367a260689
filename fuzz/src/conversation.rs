//! The second half of the oracle: turns the frames that a peer sent into messages, Pings, and the
//! event that ends the connection.

use framecast_wire::{frame::Kind, protocol_error::ProtocolError, validator::MessageInfo};

use crate::{
    inflate,
    oracle::{Decoded, Frame},
};

/// The messages and Pings that a peer sends, up to the first Close or error.
#[derive(Debug, Default)]
pub struct Conversation {
    pub messages: Vec<(Kind, Vec<u8>)>,
    /// The data frames of all messages, including those of a message that has not ended.
    pub data: Vec<Frame>,
    pub pings: Vec<Vec<u8>>,
    pub end: End,
}

/// The event that ends the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// The stream ends without a Close.
    #[default]
    Lost,
    /// The peer sends a Close with this payload, which must be sent back.
    ByPeer(Vec<u8>),
    ProtocolError(ProtocolError),
    /// A compressed message is both too big and invalid. Either error may be reported.
    InvalidOrTooBig,
    /// The peer sends a Close whose code must not be sent. This is the reason behind the code.
    InvalidCode(Vec<u8>),
}

impl Decoded {
    /// Returns the conversation as a server or a client must understand it if it takes messages of
    /// up to `limit` bytes.
    pub fn conversation(self, limit: usize) -> Conversation {
        let mut conversation = Conversation::default();
        let mut message: Option<Vec<u8>> = None;
        let mut infos = self.infos.into_iter();
        for frame in self.frames {
            match frame.opcode() {
                8 => {
                    conversation.end = on_close(frame.payload);
                    return conversation;
                }
                9 => conversation.pings.push(frame.payload),
                10 => {}
                _ => {
                    message.get_or_insert_default().extend(&frame.payload);
                    if frame.is_final() {
                        let info = infos.next().expect("the oracle recorded each message");
                        let payload = message.take().unwrap_or_default();
                        match opened(info, payload, limit) {
                            Ok(payload) => conversation.messages.push((info.kind, payload)),
                            Err(end) => {
                                conversation.end = end;
                                return conversation;
                            }
                        }
                    }
                    conversation.data.push(frame);
                }
            }
        }
        conversation.end = self.error.map_or(End::Lost, End::ProtocolError);
        conversation
    }
}

/// Returns the message that was received as `payload`, inflated if it is compressed. Returns the
/// end of the connection if the message is invalid or too big.
fn opened(info: MessageInfo, payload: Vec<u8>, limit: usize) -> Result<Vec<u8>, End> {
    if !info.is_deflated {
        return Ok(payload);
    }
    let payload = inflate::message(&payload, limit).map_err(|faults| match faults[..] {
        [fault] => End::ProtocolError(fault),
        _ => End::InvalidOrTooBig,
    })?;
    if info.kind == Kind::Text && str::from_utf8(&payload).is_err() {
        return Err(End::ProtocolError(ProtocolError::InvalidUtf8));
    }
    Ok(payload)
}

/// Returns the event that a Close with this payload is.
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
    // Since 2018, 1014 may be sent, too. But fastwebsockets refuses it.
    match u16::from_be_bytes([*a, *b]) {
        1000..=1003 | 1007..=1013 | 3000..=4999 => End::ByPeer(payload),
        _ => End::InvalidCode(reason.to_vec()),
    }
}
