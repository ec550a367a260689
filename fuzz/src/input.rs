//! What the wire targets make of their input: one format, so that one corpus serves them all.
//!
//! | offset | size | meaning                                                      |
//! |--------|------|--------------------------------------------------------------|
//! | 0      | 1    | mode: see the methods of [`Input`]                           |
//! | 1      | 4    | how much each read brings, in turn: 0 nothing yet, 255 all   |
//! | 5      | 3    | how much each write takes, in turn, likewise                 |
//! | 8      | 0, 1 | the [terms], where the top bit of the mode is set            |
//! |        | n    | what the peer sends, as it is or [in short form](unfolded)   |
//!
//! [terms]: Terms

use framecast_wire::validator::{MessageLimits, Role, Rules};

use crate::{deflate, inflate::Inflater};

#[derive(Debug)]
pub struct Input {
    mode: u8,
    reads: [u8; 4],
    pub writes: [u8; 3],
    pub terms: Terms,
    /// What the peer sends.
    pub wire: Vec<u8>,
}

/// What holds between us and the peer, in a byte.
#[derive(Clone, Copy, Debug)]
pub struct Terms(pub u8);

/// What the connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Chat,
    Echo,
    EchoFrames,
}

impl Input {
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
        if mode & 0x04 != 0 {
            let messages = if mode & 0x40 == 0 { 1 } else { 6 };
            let enough = messages * input.rules().limits.message_bytes + 1000;
            input.wire = unfolded(rest, input.terms.role(), enough);
        }
        Some(input)
    }

    pub fn purpose(&self) -> Purpose {
        match self.mode & 0x03 {
            0 | 3 => Purpose::Echo,
            // Compressed messages are echoed whole.
            1 if self.terms.deflate() => Purpose::Echo,
            1 => Purpose::EchoFrames,
            _ => Purpose::Chat,
        }
    }

    /// The peer hangs up with its last byte, and not only when it has heard everything.
    pub fn is_abrupt(&self) -> bool {
        self.mode & 0x08 != 0
    }

    /// How much of the wire comes together with the request.
    pub fn leftover(&self) -> usize {
        if self.mode & 0x10 == 0 {
            return 0;
        }
        usize::from(self.reads[0]).min(self.wire.len())
    }

    pub fn reads(&self) -> Turns<4> {
        Turns::new(self.reads, self.unit())
    }

    pub fn writes(&self) -> Turns<3> {
        Turns::new(self.writes, self.unit())
    }

    /// Large messages do not go byte by byte.
    fn unit(&self) -> usize {
        if self.mode & 0x20 == 0 { 1 } else { 61 }
    }

    pub fn rules(&self) -> Rules {
        Rules {
            role: self.terms.role(),
            deflate: self.terms.deflate(),
            // Small enough to be met by small inputs, or large enough for every form of the length.
            limits: MessageLimits {
                message_bytes: if self.mode & 0x20 == 0 { 300 } else { 66_000 },
                fragments: 6,
            },
        }
    }
}

impl Terms {
    /// Ours.
    pub fn role(self) -> Role {
        if self.0 & 0x01 == 0 {
            Role::Server
        } else {
            Role::Client
        }
    }

    /// Whether permessage-deflate is agreed on.
    pub fn deflate(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// What a client has to offer for that.
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

    /// How many contexts the server may keep.
    pub fn contexts(self) -> usize {
        usize::from(self.0 >> 6 & 1)
    }

    /// The least that the server compresses.
    pub fn min_bytes(self) -> usize {
        if self.0 & 0x80 == 0 { 64 } else { 5 }
    }

    /// What the server compresses can refer to earlier messages. We do not do that within the
    /// smallest window, which zlib does not know.
    pub fn keeps_context(self) -> bool {
        self.contexts() > 0 && self.0 & 0x20 == 0 && self.window_bits() > 8
    }

    /// What a client reads with that made the offer.
    pub fn inflater(self) -> Inflater {
        Inflater::new(self.window_bits(), self.keeps_context())
    }

    fn window_bits(self) -> u8 {
        match self.0 >> 2 & 0x07 {
            0 => 15,
            other => 7 + other,
        }
    }
}

/// Frames from their short form, in which no mutation breaks mask and length: the first byte, a
/// byte for the length, and the payload, of which the last frame may have too little. From 240
/// on, the length is one of [`RUNS`], and the payload that many times `x`. What goes with RSV1 in a
/// single frame is compressed. `role` is that of who reads them. Ends after `enough` bytes.
pub fn unfolded(mut short: &[u8], role: Role, enough: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    while let [first, shape, rest @ ..] = short
        && wire.len() < enough
    {
        let run = usize::from(*shape)
            .checked_sub(240)
            .map(|index| RUNS[index]);
        let length = run.unwrap_or(usize::from(*shape));
        let given = length.min(rest.len());
        let (mut payload, rest) = match run {
            Some(length) => (vec![b'x'; length], rest),
            None => (rest[..given].to_vec(), &rest[given..]),
        };
        let mut length = length;
        if matches!(first, 0xC1 | 0xC2) && payload.len() == length {
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

/// `payload` under `key`: masked, or unmasked again (RFC 6455 §5.3).
pub fn masked(payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut masked = payload.to_vec();
    for (index, byte) in masked.iter_mut().enumerate() {
        *byte ^= key[index % 4];
    }
    masked
}

/// Around every boundary: the forms of the length, the limits, and the receive buffer.
const RUNS: [usize; 16] = [
    124, 125, 126, 127, 240, 255, 256, 299, 300, 301, 16_384, 65_535, 65_536, 65_999, 66_000,
    66_001,
];

/// Turns of a script: how much of what is there is taken each time; never nothing twice.
#[derive(Clone, Debug)]
pub struct Turns<const N: usize> {
    script: [u8; N],
    /// What a step of 1 stands for.
    unit: usize,
    at: usize,
    was_nothing: bool,
}

impl<const N: usize> Turns<N> {
    pub fn new(script: [u8; N], unit: usize) -> Self {
        Self {
            script,
            unit,
            at: 0,
            was_nothing: false,
        }
    }

    /// At least 1, unless it is `None`: not now.
    pub fn take(&mut self) -> Option<usize> {
        let step = self.script[self.at % N];
        self.at += 1;
        self.was_nothing = step == 0 && !self.was_nothing;
        match step {
            0 if self.was_nothing => None,
            255 => Some(usize::MAX),
            step => Some(usize::from(step.max(1)) * self.unit),
        }
    }

    /// Nothing is ever held back.
    pub fn is_open(&self) -> bool {
        !self.script.contains(&0)
    }
}
