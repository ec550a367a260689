//! Builds messages from parts, so that a small input describes messages that are longer than any
//! window and repeat themselves at any distance.
//!
//! A part of the input is one byte and an argument. It describes bytes that are appended to the
//! current message. Their length, or the distance from which they are copied, is one of
//! [`LENGTHS`]:
//!
//! | byte         | argument        | bytes that are appended                               |
//! |--------------|-----------------|-------------------------------------------------------|
//! | 0x00 to 0x3F | that many bytes | the argument itself                                   |
//! | 0x40 to 0x7F | a byte          | the argument again and again, up to the length        |
//! | 0x80 to 0xBF | a seed          | pseudorandom bytes, up to the length                  |
//! | 0xC0 to 0xFE | a byte          | 3 to 258 bytes, copied from about the distance before |
//! | 0xFF         | none            | none: the message ends                                |

/// Lengths and distances that parts may have, in bytes. The lower four bits of a part's byte are an
/// index into this table.
const LENGTHS: [usize; 16] = [
    3, 20, 64, 255, 256, 257, 512, 1024, 2048, 4096, 4097, 8192, 16_384, 32_767, 32_768, 32_769,
];

/// Sum of the sizes of all messages, in bytes, at which the messages end.
const ENOUGH: usize = 100_000;

/// An iterator over the messages that an input describes.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The input that is not used yet.
    rest: &'a [u8],
    /// All earlier messages, and what has been appended to the current one.
    history: Vec<u8>,
}

impl<'a> Parts<'a> {
    pub fn new(parts: &'a [u8]) -> Self {
        Self {
            rest: parts,
            history: Vec::new(),
        }
    }

    /// Appends the bytes of a part with an argument of one byte.
    fn add(&mut self, part: u8, argument: u8) {
        let length = LENGTHS[usize::from(part & 0x0F)];
        // The upper two bits are the kind of the part.
        match part >> 6 {
            1 => self.history.extend([argument].repeat(length)),
            2 => self.history.extend(noise(argument).take(length)),
            _ => {
                // The lower three bits of the argument change the distance by -4 to 3, to get at
                // both sides of every window. 3 is the shortest length that deflate can copy.
                let distance = (length + usize::from(argument & 0x07)).saturating_sub(4);
                for _ in 0..3 + usize::from(argument) {
                    let from = self.history.len().checked_sub(distance.max(1));
                    // Without a byte so far back, the argument itself is appended.
                    self.history
                        .push(from.map_or(argument, |from| self.history[from]));
                }
            }
        }
    }
}

impl Iterator for Parts<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let start = self.history.len();
        if self.rest.is_empty() || start > ENOUGH {
            return None;
        }
        while let [part, rest @ ..] = self.rest
            && self.history.len() < ENOUGH
        {
            self.rest = rest;
            match (part, rest) {
                (0xFF, _) => break,
                (0x00..=0x3F, _) => {
                    let (bytes, rest) = rest.split_at(usize::from(*part).min(rest.len()));
                    self.history.extend(bytes);
                    self.rest = rest;
                }
                (_, [argument, rest @ ..]) => {
                    self.add(*part, *argument);
                    self.rest = rest;
                }
                (_, []) => {}
            }
        }
        if self.history.len() >= ENOUGH {
            self.rest = &[];
        }
        Some(self.history[start..].to_vec())
    }
}

/// Returns pseudorandom bytes, which cannot be compressed.
pub fn noise(seed: u8) -> impl Iterator<Item = u8> {
    let mut state = u32::from(seed);
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
}
