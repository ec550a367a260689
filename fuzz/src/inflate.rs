//! The oracle for compressed messages: a decompressor that is simple instead of fast. It reads bit
//! by bit and follows the text of RFC 1951 and of RFC 7692 §7.2.2. Section numbers are those of RFC
//! 1951 where no other RFC is named.

use framecast_wire::protocol_error::ProtocolError;

/// Last bytes of an empty stored block, which are removed from the end of a message before it is
/// sent (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Largest number of streams that the server accepts in a message. Each block with BFINAL ends a
/// stream.
const MAX_STREAMS: usize = 256;

/// Number of bytes over the limit at which the oracle stops decoding. The server checks the size
/// after every 16 KiB, so by then it must have found that the message is too big, even if later
/// bytes of the message are invalid.
const ENOUGH: usize = 17_000;

/// Inflates a message that refers to no earlier one. Returns its payload, if that has at most
/// `limit` bytes. If the message becomes invalid within [`ENOUGH`] bytes after the limit, returns two
/// errors, because the server may report either of them. Farther on, the message is only too big.
pub fn message(compressed: &[u8], limit: usize) -> Result<Vec<u8>, Vec<ProtocolError>> {
    let mut decoder = Decoder::new(Vec::new(), 1 << 15);
    let is_whole = decoder.message(compressed, limit + ENOUGH).is_some();
    let payload = decoder.out;
    let is_far_too_big = payload.len() > limit + ENOUGH;
    match (is_whole || is_far_too_big, payload.len() > limit) {
        (true, false) => Ok(payload),
        (true, true) => Err(vec![ProtocolError::MessageTooBig]),
        (false, false) => Err(vec![ProtocolError::InvalidCompression]),
        (false, true) => Err(vec![
            ProtocolError::InvalidCompression,
            ProtocolError::MessageTooBig,
        ]),
    }
}

/// The decompressor of a peer, with the window and the context that it has agreed on.
#[derive(Debug)]
pub struct Inflater {
    /// Distance up to which messages may refer back, in bytes.
    window: usize,
    /// True if messages may refer to earlier ones.
    keeps_context: bool,
    /// All earlier messages, one behind the other. Empty if messages do not refer to earlier ones.
    history: Vec<u8>,
}

impl Inflater {
    pub fn new(window_bits: u8, keeps_context: bool) -> Self {
        Self {
            window: 1 << window_bits,
            keeps_context,
            history: Vec::new(),
        }
    }

    /// Inflates the next message.
    ///
    /// # Panics
    ///
    /// If `compressed` is not a whole message.
    pub fn inflate(&mut self, compressed: &[u8]) -> Vec<u8> {
        let history = std::mem::take(&mut self.history);
        let had = history.len();
        let mut decoder = Decoder::new(history, self.window);
        let whole = decoder.message(compressed, usize::MAX);
        whole.expect("a whole message within the window");
        let message = decoder.out[had..].to_vec();
        if self.keeps_context {
            self.history = decoder.out;
        }
        message
    }
}

/// The state of decoding one message.
struct Decoder {
    /// The earlier messages to which this message may refer, and behind them the bytes of this
    /// message that are decoded.
    out: Vec<u8>,
    /// Distance up to which a block may refer back, in bytes.
    window: usize,
    /// Offset in the stream, in bytes, of the length field of the empty stored block that was
    /// decoded last. [`TAIL`], appended to the message, is such a field if the message is whole. So
    /// the message is whole only if `TAIL` is at this offset.
    empty_at: Option<usize>,
}

/// The two Huffman codes of a block (RFC 1951 §3.2.3): one for literals and lengths, one for
/// distances.
type Codes = (Code, Code);

impl Decoder {
    fn new(history: Vec<u8>, window: usize) -> Self {
        Self {
            out: history,
            window,
            empty_at: None,
        }
    }

    /// Decodes a message into `out`. Returns `None` if the message is not whole or is invalid, or
    /// if it is longer than `enough` bytes.
    fn message(&mut self, compressed: &[u8], enough: usize) -> Option<()> {
        let mut rest = compressed;
        for _ in 0..MAX_STREAMS {
            // A block that was cut continues in the appended bytes. So the message is whole only if
            // `TAIL` is read as the length field of an empty stored block. An empty block with
            // BFINAL follows, so that the stream always ends.
            let appended = [rest, &TAIL, &[0x01, 0x00, 0x00, 0xFF, 0xFF]].concat();
            self.empty_at = None;
            let mut bits = Bits {
                bytes: &appended,
                at: 0,
            };
            while !self.block(&mut bits)? {
                if self.empty_at == Some(rest.len()) {
                    return Some(());
                }
                if self.out.len() > enough {
                    return None;
                }
            }
            let end = bits.at.div_ceil(8);
            if end > rest.len() {
                // The block that `TAIL` completes may have BFINAL, too.
                return (self.empty_at == Some(rest.len())).then_some(());
            }
            rest = &rest[end..];
            if rest.is_empty() {
                return Some(());
            }
        }
        None
    }

    /// Decodes a block (RFC 1951 §3.2.3). Returns true if it has BFINAL.
    fn block(&mut self, bits: &mut Bits<'_>) -> Option<bool> {
        let is_last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => self.stored(bits)?,
            1 => self.compressed(bits, &fixed())?,
            2 => {
                let codes = dynamic(bits)?;
                self.compressed(bits, &codes)?;
            }
            _ => return None,
        }
        Some(is_last)
    }

    /// Decodes a block without compression (RFC 1951 §3.2.4).
    fn stored(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        bits.at = bits.at.next_multiple_of(8);
        let at = bits.at / 8;
        let (len, complement) = (bits.take(16)?, bits.take(16)?);
        if len != complement ^ 0xFFFF {
            return None;
        }
        if len == 0 {
            self.empty_at = Some(at);
        }
        for _ in 0..len {
            self.out.push(bits.take(8)? as u8);
        }
        Some(())
    }

    /// Decodes a block with compression (RFC 1951 §3.2.5).
    fn compressed(&mut self, bits: &mut Bits<'_>, (lengths, distances): &Codes) -> Option<()> {
        loop {
            match lengths.symbol(bits)? {
                literal @ 0..=255 => self.out.push(literal as u8),
                256 => return Some(()),
                symbol => {
                    let (base, extra) = *LENGTHS.get(symbol - 257)?;
                    let length = base + bits.take(extra)?;
                    let (base, extra) = *DISTANCES.get(distances.symbol(bits)?)?;
                    let distance = base + bits.take(extra)?;
                    self.copy(length, distance)?;
                }
            }
        }
    }

    /// Appends `length` bytes, each copied from `distance` bytes before the end. Returns `None` if
    /// there are no bytes so far back, or if `distance` is larger than the window.
    fn copy(&mut self, length: usize, distance: usize) -> Option<()> {
        if distance > self.window {
            return None;
        }
        for _ in 0..length {
            let from = self.out.len().checked_sub(distance)?;
            self.out.push(self.out[from]);
        }
        Some(())
    }
}

/// Reader of bits, the least significant first (RFC 1951 §3.1.1).
struct Bits<'a> {
    bytes: &'a [u8],
    /// Number of bits that have been read.
    at: usize,
}

impl Bits<'_> {
    /// Reads the next `count` bits as a number. Returns `None` if fewer bits are left.
    fn take(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for place in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Some(value)
    }
}

/// A Huffman code (RFC 1951 §3.2.2): for each length in bits, the number of symbols whose codes
/// have this length; and the symbols in the order of their codes.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    /// Builds the code from the lengths of all symbols' codes. Returns `None` if the code is
    /// oversubscribed or incomplete. But if `may_be_incomplete`, an incomplete code is allowed if
    /// it has no symbols, or a single symbol with a code of one bit (RFC 1951 §3.2.7).
    fn new(lengths: &[usize], may_be_incomplete: bool) -> Option<Self> {
        let mut counts = [0; 16];
        lengths.iter().for_each(|&length| counts[length] += 1);
        counts[0] = 0;
        let mut left = 1_usize;
        for count in &counts[1..] {
            left = (2 * left).checked_sub(*count)?;
        }
        let is_tiny = counts[1] <= 1 && counts[2..].iter().all(|count| *count == 0);
        if left > 0 && !(may_be_incomplete && is_tiny) {
            return None;
        }
        let mut symbols: Vec<usize> = (0..lengths.len())
            .filter(|&each| lengths[each] > 0)
            .collect();
        symbols.sort_by_key(|&each| lengths[each]);
        Some(Self { counts, symbols })
    }

    /// Reads the code of the next symbol. Returns the symbol, or `None` if the next bits are not
    /// the code of any symbol.
    fn symbol(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code = 2 * code + bits.take(1)?;
            first *= 2;
            if code < first + count {
                return self.symbols.get(index + code - first).copied();
            }
            index += count;
            first += count;
        }
        None
    }
}

/// Returns the fixed codes (RFC 1951 §3.2.6).
fn fixed() -> Codes {
    let lengths = [[8; 144].as_slice(), &[9; 112], &[7; 24], &[8; 8]].concat();
    let code = |lengths: &[usize]| Code::new(lengths, false).expect("a complete code");
    (code(&lengths), code(&[5; 32]))
}

/// Reads the codes of a block with dynamic codes (RFC 1951 §3.2.7).
fn dynamic(bits: &mut Bits<'_>) -> Option<Codes> {
    let literals = 257 + bits.take(5)?;
    let distances = 1 + bits.take(5)?;
    if literals > 286 || distances > 30 {
        return None;
    }
    let mut lengths = [0; 19];
    for place in &ORDER[..4 + bits.take(4)?] {
        lengths[*place] = bits.take(3)?;
    }
    let code = Code::new(&lengths, false)?;
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        let (length, times) = match code.symbol(bits)? {
            16 => (*lengths.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length, 1),
        };
        lengths.extend([length].repeat(times));
    }
    if lengths.len() > literals + distances || lengths[256] == 0 {
        return None;
    }
    let (literals, distances) = lengths.split_at(literals);
    Some((Code::new(literals, true)?, Code::new(distances, true)?))
}

/// The symbols of the code length code, in the order in which a block with dynamic codes lists the
/// lengths of their codes (RFC 1951 §3.2.7).
const ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// The shortest length and the number of extra bits of each symbol from 257 on (RFC 1951 §3.2.5).
#[rustfmt::skip]
const LENGTHS: [(usize, usize); 29] = [
    (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 1), (13, 1),
    (15, 1), (17, 1), (19, 2), (23, 2), (27, 2), (31, 2), (35, 3), (43, 3), (51, 3), (59, 3),
    (67, 4), (83, 4), (99, 4), (115, 4), (131, 5), (163, 5), (195, 5), (227, 5), (258, 0),
];

/// The shortest distance and the number of extra bits of each symbol (RFC 1951 §3.2.5).
#[rustfmt::skip]
const DISTANCES: [(usize, usize); 30] = [
    (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (7, 1), (9, 2), (13, 2), (17, 3), (25, 3),
    (33, 4), (49, 4), (65, 5), (97, 5), (129, 6), (193, 6), (257, 7), (385, 7), (513, 8), (769, 8),
    (1025, 9), (1537, 9), (2049, 10), (3073, 10), (4097, 11), (6145, 11), (8193, 12), (12289, 12),
    (16385, 13), (24577, 13),
];
