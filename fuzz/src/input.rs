//! The input format of the targets `connection`, `validator` and `tungstenite`. They share it, so
//! that one corpus serves all three.
//!
//! | offset | size   | meaning                                                             |
//! |--------|--------|---------------------------------------------------------------------|
//! | 0      | 1      | mode: see the methods of [`Input`]                                  |
//! | 1      | 4      | the [`Script`] of reads: one byte for each, with its largest amount |
//! | 5      | 3      | the [`Script`] of writes                                            |
//! | 8      | 0 or 1 | the [`Terms`], if the top bit of the mode is set                    |
//! | 8 or 9 | n      | bytes that the peer sends, or frames in [short form](expanded)      |

use framecast_wire::validator::{MessageLimits, Role, Rules};

use crate::{deflate, inflate::Inflater};

/// An input, taken apart.
#[derive(Debug)]
pub struct Input {
    mode: u8,
    reads: [u8; 4],
    pub writes: [u8; 3],
    pub terms: Terms,
    /// The bytes that the peer sends.
    pub wire: Vec<u8>,
}

/// Our role in a connection, and its compression, packed into a byte.
#[derive(Clone, Copy, Debug)]
pub struct Terms(pub u8);

/// The protocol of the server's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Chat,
    Echo,
    EchoFrames,
}

impl Input {
    /// Takes an input apart. Returns `None` if it is too short.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (&[mode, r0, r1, r2, r3, w0, w1, w2], rest) = data.split_first_chunk()?;
        let (terms, rest) = match (mode & 0x80, rest) {
            (0x80, [terms, rest @ ..]) => (*terms, rest),
            _ => (0, rest),
        };
        let mut input = Self {
            mode,
            reads: [r0, r1, r2, r3],
            writes: [w0, w1, w2],
            terms: Terms(terms),
            wire: rest.to_vec(),
        };
        // From the short form, so many bytes are made that the peer can exceed the limit of a
        // message once, or six times.
        if mode & 0x04 != 0 {
            let messages = if mode & 0x40 == 0 { 1 } else { 6 };
            let enough = messages * input.rules().limits.message_bytes + 1000;
            input.wire = expanded(rest, input.terms.role(), enough);
        }
        Some(input)
    }

    /// Returns the protocol that the server runs.
    pub fn purpose(&self) -> Purpose {
        match self.mode & 0x03 {
            0 | 3 => Purpose::Echo,
            // With compression, messages are echoed whole.
            1 if self.terms.deflate() => Purpose::Echo,
            1 => Purpose::EchoFrames,
            _ => Purpose::Chat,
        }
    }

    /// Returns true if the peer ends its stream right after its last byte. Otherwise it ends the
    /// stream only when it has received everything that the server sends.
    pub fn is_abrupt(&self) -> bool {
        self.mode & 0x08 != 0
    }

    /// Returns how many bytes of the peer arrive together with its request, and so before the
    /// connection begins.
    pub fn leftover(&self) -> usize {
        if self.mode & 0x10 == 0 {
            return 0;
        }
        usize::from(self.reads[0]).min(self.wire.len())
    }

    /// Returns the script that says how many bytes each read returns.
    pub fn reads(&self) -> Script<4> {
        Script::new(self.reads, self.unit())
    }

    /// Returns the script that says how many bytes each write takes.
    pub fn writes(&self) -> Script<3> {
        Script::new(self.writes, self.unit())
    }

    /// Returns the number of bytes that a 1 in a script stands for. It is more than one byte if
    /// messages may be large, which would take too many reads otherwise.
    fn unit(&self) -> usize {
        if self.mode & 0x20 == 0 { 1 } else { 61 }
    }

    /// Returns the rules by which the peer's frames are checked.
    pub fn rules(&self) -> Rules {
        Rules {
            role: self.terms.role(),
            deflate: self.terms.deflate(),
            // The limit is one that small inputs reach, or one above 65,535, so that every form of
            // the length occurs.
            limits: MessageLimits {
                message_bytes: if self.mode & 0x20 == 0 { 300 } else { 66_000 },
                fragments: 6,
            },
        }
    }
}

impl Terms {
    /// Returns our role.
    pub fn role(self) -> Role {
        if self.0 & 0x01 == 0 {
            Role::Server
        } else {
            Role::Client
        }
    }

    /// Returns true if permessage-deflate is agreed.
    pub fn deflate(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// Returns the offer of a client, with which the server agrees on these terms, or `None` if
    /// there is no compression.
    pub fn offer(self) -> Option<String> {
        let window = match self.window_bits() {
            15 => String::new(),
            bits => format!("; server_max_window_bits={bits}"),
        };
        let context = match self.0 & 0x20 {
            0 => "",
            _ => "; server_no_context_takeover",
        };
        self.deflate()
            .then(|| format!("permessage-deflate{window}{context}"))
    }

    /// Returns the number of compression contexts that the server may keep: 0 or 1.
    pub fn contexts(self) -> usize {
        usize::from(self.0 >> 6 & 1)
    }

    /// Returns the size of the smallest message that the server compresses, in bytes.
    pub fn min_bytes(self) -> usize {
        if self.0 & 0x80 == 0 { 64 } else { 5 }
    }

    /// Returns true if messages of the server refer to its earlier ones. They never do with the
    /// smallest window, which zlib does not support.
    pub fn keeps_context(self) -> bool {
        self.contexts() > 0 && self.0 & 0x20 == 0 && self.window_bits() > 8
    }

    /// Returns an inflater for the messages that the server sends to the client that made the
    /// offer.
    pub fn inflater(self) -> Inflater {
        Inflater::new(self.window_bits(), self.keeps_context())
    }

    /// Returns the window that the client asks for, as the base-2 logarithm of its bytes. Three
    /// bits select it: 1 to 7 stand for 8 to 14, and 0 for 15, the largest, which the offer does
    /// not name.
    fn window_bits(self) -> u8 {
        match self.0 >> 2 & 0x07 {
            0 => 15,
            other => 7 + other,
        }
    }
}

/// Encodes frames from their short form. The fuzzer can change a short form in any way without
/// breaking masks and lengths.
///
/// A frame in short form is its first byte, a byte for the length, and the payload. The payload of
/// the last frame may be shorter than its length says. A length byte of 240 or more selects one of
/// [`RUNS`]. Then the payload is that many times the letter `x`, and the short form has no payload.
/// The payload of a whole message with RSV1 is compressed here. The frames are masked if `role`,
/// the role of their reader, is the server. The result is cut behind `enough` bytes.
pub fn expanded(mut short: &[u8], role: Role, enough: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    while let [first, shape, rest @ ..] = short
        && wire.len() < enough
    {
        let run = usize::from(*shape)
            .checked_sub(240)
            .map(|index| RUNS[index]);
        let length = run.unwrap_or(usize::from(*shape));
        let present = length.min(rest.len());
        let (mut payload, rest) = match run {
            Some(length) => (vec![b'x'; length], rest),
            None => (rest[..present].to_vec(), &rest[present..]),
        };
        let mut length = length;
        // FIN, RSV1, and text or binary.
        if matches!(first, 0xC1 | 0xC2) && payload.len() == length {
            // The compression level is 0 to 9.
            payload = deflate::message(&payload, shape % 10);
            length = payload.len();
        }
        let key = [*first, *shape, 0x5A, 0xA5];
        push_frame(
            &mut wire,
            *first,
            length,
            (role == Role::Server).then_some(key),
            &payload,
        );
        short = rest;
    }
    wire.truncate(enough);
    wire
}

/// Appends a frame to `wire`. `payload` may be shorter than `length`, which the header has.
fn push_frame(wire: &mut Vec<u8>, first: u8, length: usize, key: Option<[u8; 4]>, payload: &[u8]) {
    let mask = if key.is_some() { 0x80 } else { 0 };
    wire.push(first);
    match length {
        0..126 => wire.push(mask | length as u8),
        126..65_536 => {
            wire.push(mask | 126);
            wire.extend((length as u16).to_be_bytes());
        }
        _ => {
            wire.push(mask | 127);
            wire.extend((length as u64).to_be_bytes());
        }
    }
    wire.extend(key.iter().flatten());
    wire.extend(masked(payload, key.unwrap_or_default()));
}

/// Masks or unmasks `payload` with `key` (RFC 6455 §5.3).
pub fn masked(payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut masked = payload.to_vec();
    for (index, byte) in masked.iter_mut().enumerate() {
        *byte ^= key[index % 4];
    }
    masked
}

/// Lengths around every boundary: the forms of the length, the limits, and the receive buffer.
const RUNS: [usize; 16] = [
    124, 125, 126, 127, 240, 255, 256, 299, 300, 301, 16_384, 65_535, 65_536, 65_999, 66_000,
    66_001,
];

/// A script of reads or of writes: for each, the largest amount of bytes that it transfers. After
/// the last amount, the first one is used again. 255 stands for all bytes. 0 stands for a read or
/// write that blocks. But if the one before has blocked already, 0 stands for 1.
#[derive(Clone, Debug)]
pub struct Script<const N: usize> {
    amounts: [u8; N],
    /// Bytes that an amount of 1 stands for.
    unit: usize,
    /// Number of reads or writes so far.
    at: usize,
    /// True if the last read or write has blocked.
    has_blocked: bool,
}

impl<const N: usize> Script<N> {
    pub fn new(amounts: [u8; N], unit: usize) -> Self {
        Self {
            amounts,
            unit,
            at: 0,
            has_blocked: false,
        }
    }

    /// Returns the largest number of bytes for the next read or write, or `None` if it must block.
    pub fn next_amount(&mut self) -> Option<usize> {
        let amount = self.amounts[self.at % N];
        self.at += 1;
        self.has_blocked = amount == 0 && !self.has_blocked;
        match amount {
            0 if self.has_blocked => None,
            255 => Some(usize::MAX),
            amount => Some(usize::from(amount.max(1)) * self.unit),
        }
    }

    /// Returns true if no read or write ever blocks.
    pub fn never_blocks(&self) -> bool {
        !self.amounts.contains(&0)
    }
}
