//! What the wire targets make of their input: one format, so that one corpus serves them all.
//!
//! | offset | size | meaning                                                      |
//! |--------|------|--------------------------------------------------------------|
//! | 0      | 1    | mode: see the methods of [`Input`]                           |
//! | 1      | 4    | how much each read brings, in turn: 0 nothing yet, 255 all   |
//! | 5      | 3    | how much each write takes, in turn, likewise                 |
//! | 8      | n    | what the client sends, as it is or [in short form](unfolded) |

use framecast::wire::walk;

#[derive(Debug)]
pub struct Input {
    mode: u8,
    reads: [u8; 4],
    pub writes: [u8; 3],
    /// What the client sends.
    pub wire: Vec<u8>,
}

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
        let mut input = Self {
            mode,
            reads: [r0, r1, r2, r3],
            writes: [w0, w1, w2],
            wire: rest.to_vec(),
        };
        if mode & 0x04 != 0 {
            let messages = if mode & 0x40 == 0 { 1 } else { 6 };
            let enough = messages * input.limits().message_bytes + 1000;
            input.wire = unfolded(rest, enough);
        }
        Some(input)
    }

    pub fn purpose(&self) -> Purpose {
        match self.mode & 0x03 {
            0 | 3 => Purpose::Echo,
            1 => Purpose::EchoFrames,
            _ => Purpose::Chat,
        }
    }

    /// The client hangs up with its last byte, and not only when it has heard everything.
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

    /// Small enough to be met by small inputs, or large enough for every form of the length.
    pub fn limits(&self) -> walk::Limits {
        walk::Limits {
            message_bytes: if self.mode & 0x20 == 0 { 300 } else { 66_000 },
            fragments: 6,
        }
    }
}

/// Frames from their short form, in which no mutation breaks mask and length: the first byte, a
/// byte for the length, and the payload, of which the last frame may have too little. From 240
/// on, the length is one of [`RUNS`], and the payload that many times `x`. Ends after `enough` bytes.
pub fn unfolded(mut short: &[u8], enough: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    while let [first, shape, rest @ ..] = short
        && wire.len() < enough
    {
        let run = usize::from(*shape)
            .checked_sub(240)
            .map(|index| RUNS[index]);
        let length = run.unwrap_or(usize::from(*shape));
        let key = [*first, *shape, 0x5A, 0xA5];
        wire.push(*first);
        match length {
            0..126 => wire.push(0x80 | length as u8),
            126..65_536 => {
                wire.push(0x80 | 126);
                wire.extend((length as u16).to_be_bytes());
            }
            _ => {
                wire.push(0x80 | 127);
                wire.extend((length as u64).to_be_bytes());
            }
        }
        wire.extend(key);
        let given = length.min(rest.len());
        let (payload, rest) = match run {
            Some(length) => (vec![b'x'; length], rest),
            None => (rest[..given].to_vec(), &rest[given..]),
        };
        wire.extend(masked(&payload, key));
        short = rest;
    }
    wire.truncate(enough);
    wire
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
