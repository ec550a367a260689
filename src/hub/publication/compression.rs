//! Compression of messages for connections with permessage-deflate, and the compressors of a shard.
//!
//! Most connections get every message compressed by itself, without context takeover (RFC 7692
//! §7.1.1). So a message is compressed once for all connections with the same window. A few
//! connections are granted a compression context of their own. It takes much memory, and no other
//! connection can use the frames that it compresses.

use std::{fmt, iter::Sum, ops::Add, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config,
    hub::bounds::budget::Budget,
    wire::{
        deflate::Deflater,
        extension::{Agreement, WindowBits},
        frame::Frame,
    },
};

/// The way in which the messages for one connection are compressed.
#[derive(Debug, Default)]
pub(in crate::hub) enum Compression {
    /// Messages are not compressed.
    #[default]
    Off,
    /// Each message is compressed by itself, once for all connections with this window.
    Shared(WindowBits),
    /// Messages are compressed in a context of this connection alone, in which later messages refer
    /// to earlier ones.
    Own(Box<CompressionContext>),
}

/// permessage-deflate as agreed on in an opening handshake.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) agreement: Agreement,
    /// The permit for a compression context of the connection's own, if one was granted.
    permit: Option<OwnedSemaphorePermit>,
}

/// The compressor of one connection, with a context of its own.
pub(in crate::hub) struct CompressionContext {
    deflater: Deflater,
    min_bytes: usize,
    _permit: OwnedSemaphorePermit,
}

/// The compressors of a shard, one for each window. Each is made when it is first needed.
#[derive(Debug)]
pub(in crate::hub) struct Compressors {
    min_bytes: usize,
    budget: Arc<Budget>,
    by_window: [Option<Box<Deflater>>; WindowBits::ALL.len()],
    /// Number of connections with each window.
    connections: [usize; WindowBits::ALL.len()],
}

/// The limited number of compression contexts that connections may have.
#[derive(Debug)]
pub(in crate::hub) struct Contexts {
    limit: usize,
    free: Arc<Semaphore>,
}

impl Contexts {
    pub(in crate::hub) fn new(config: &config::Deflate) -> Self {
        Self {
            limit: config.contexts,
            free: Arc::new(Semaphore::new(config.contexts)),
        }
    }

    /// Returns how many connections have a context.
    pub(in crate::hub) fn granted(&self) -> usize {
        self.limit.saturating_sub(self.free.available_permits())
    }

    /// Grants a connection a context of its own, if the agreement allows that and one is left.
    pub(in crate::hub) fn grant(&self, mut agreement: Agreement) -> Agreed {
        let wanted = agreement.keeps_context.then(|| Arc::clone(&self.free));
        let permit = wanted.and_then(|contexts| contexts.try_acquire_owned().ok());
        agreement.keeps_context = permit.is_some();
        Agreed { agreement, permit }
    }
}

impl Compression {
    pub(in crate::hub) fn new(agreed: Option<Agreed>, config: &config::Deflate) -> Self {
        let Some(Agreed { agreement, permit }) = agreed else {
            return Self::Off;
        };
        match permit {
            None => Self::Shared(agreement.window),
            Some(permit) => Self::Own(Box::new(CompressionContext {
                deflater: Deflater::with_context(agreement.window),
                min_bytes: config.min_bytes,
                _permit: permit,
            })),
        }
    }

    pub(in crate::hub) fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    /// Returns the frame of a message for this connection alone. The message is not compressed if
    /// it is [large](is_large) or very small, or if compressing it without a context would not make
    /// it smaller.
    pub(in crate::hub) fn compress_reply(
        &mut self,
        message: Frame,
        compressors: &mut Compressors,
    ) -> Frame {
        match self {
            Self::Off => message,
            _ if is_large(&message) => message,
            Self::Shared(window) => compressors.compress(&message, *window),
            Self::Own(context) => context.compress(&message),
        }
    }

    /// Returns the cost of [`compress_reply`](Self::compress_reply) for a message of `bytes`, in
    /// nanoseconds.
    pub(in crate::hub) fn cost_of_reply(&self, bytes: usize) -> u64 {
        let cost = Cost::of(bytes);
        match self {
            Self::Off => 0,
            // `in_context` is zero for large messages, and large replies are not compressed.
            Self::Shared(window) => cost.for_window(*window).min(cost.in_context()),
            Self::Own(_) => cost.in_context(),
        }
    }
}

impl CompressionContext {
    /// Returns the frame of the message, compressed unless it is too small or [too
    /// large](is_large). Messages must be compressed in the order in which they are sent.
    pub(in crate::hub) fn compress(&mut self, message: &Frame) -> Frame {
        if is_large(message) {
            return message.clone();
        }
        compress(&mut self.deflater, self.min_bytes, message)
    }
}

impl Compressors {
    pub(in crate::hub) fn new(config: &config::Deflate, budget: &Arc<Budget>) -> Self {
        Self {
            min_bytes: config.min_bytes,
            budget: Arc::clone(budget),
            by_window: Default::default(),
            connections: Default::default(),
        }
    }

    /// Returns the budget to which shared compressed messages are charged.
    pub(in crate::hub) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Counts one more connection with this window.
    pub(in crate::hub) fn add_connection(&mut self, window: WindowBits) {
        self.connections[window.index()] += 1;
    }

    /// Counts one connection fewer with this window.
    pub(in crate::hub) fn remove_connection(&mut self, window: WindowBits) {
        self.connections[window.index()] -= 1;
    }

    /// Returns the windows of the shard's connections.
    pub(in crate::hub) fn windows(&self) -> Windows {
        let is_used = |window: &WindowBits| self.connections[window.index()] > 0;
        let used = WindowBits::ALL.into_iter().filter(is_used);
        Windows(used.map(|window| 1 << window.index()).sum())
    }

    /// Returns the message, compressed for a window if that makes it smaller.
    pub(in crate::hub) fn compress(&mut self, message: &Frame, window: WindowBits) -> Frame {
        let deflater =
            self.by_window[window.index()].get_or_insert_with(|| Box::new(Deflater::new(window)));
        compress(deflater, self.min_bytes, message)
    }
}

/// Returns true if compressing the message takes so long that a shard does it in several steps.
pub(in crate::hub) fn is_large(message: &Frame) -> bool {
    message.payload().len() > MAX_AT_ONCE
}

/// Bytes of the largest message that is compressed in one go, which takes up to 0.7 ms. By default
/// clients can't send larger ones.
const MAX_AT_ONCE: usize = 64 * 1024;

/// A set of windows for which messages are compressed, as bits. The lowest bit stands for the
/// smallest window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct Windows(pub(in crate::hub) u8);

/// The compressed forms of each message that a shard needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct Forms {
    pub(in crate::hub) windows: Windows,
    /// Number of connections with a context of their own.
    pub(in crate::hub) contexts: usize,
}

/// The cost of compressing messages into each form, in nanoseconds. It is zero for a form in which
/// they are sent uncompressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct Cost {
    /// The cost for any window but the smallest.
    window: u64,
    /// The cost for the smallest window, for which only messages that fit into it are compressed.
    smallest: u64,
    /// The cost in a context of a connection's own, in which no [large](is_large) messages are
    /// compressed.
    context: u64,
}

impl Cost {
    /// Returns the cost of compressing a message with a payload of so many bytes.
    pub(in crate::hub) fn of(bytes: usize) -> Self {
        let cost = RESET + cost_of_piece(bytes);
        let up_to = |most: usize| if bytes <= most { cost } else { 0 };
        Self {
            window: cost,
            smallest: up_to(1 << WindowBits::MIN.bits()),
            context: up_to(MAX_AT_ONCE),
        }
    }

    pub(in crate::hub) fn for_window(self, window: WindowBits) -> u64 {
        if window == WindowBits::MIN {
            self.smallest
        } else {
            self.window
        }
    }

    pub(in crate::hub) fn in_context(self) -> u64 {
        self.context
    }

    /// Returns the cost of compressing the messages in all of `forms`.
    pub(in crate::hub) fn in_forms(self, forms: Forms) -> u64 {
        let smallest = 1 << WindowBits::MIN.index();
        let Windows(windows) = forms.windows;
        u64::from((windows & !smallest).count_ones()) * self.window
            + u64::from(windows & smallest != 0) * self.smallest
            + forms.contexts as u64 * self.context
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            window: self.window + other.window,
            smallest: self.smallest + other.smallest,
            context: self.context + other.context,
        }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

/// Returns the cost of compressing `bytes` of a message, in nanoseconds.
pub(in crate::hub) fn cost_of_piece(bytes: usize) -> u64 {
    bytes as u64 * BYTE
}

/// The cost of resetting a compressor between two messages, in nanoseconds (measured).
const RESET: u64 = 4_000;

/// The cost of compressing a byte, in nanoseconds. Measured: 7 to 11 for noise and for text with
/// few repetitions. Data that is easy to compress takes 0.1 to 1, but clients choose the data that
/// they send.
const BYTE: u64 = 10;

/// Returns the frame of the message: compressed, unless its payload has fewer than `min_bytes`
/// bytes or the deflater returns that the message is to be sent uncompressed.
fn compress(deflater: &mut Deflater, min_bytes: usize, message: &Frame) -> Frame {
    let payload = message.payload();
    if payload.len() < min_bytes {
        return message.clone();
    }
    match deflater.deflate(payload) {
        Some(compressed) => message.deflated(&compressed),
        None => message.clone(),
    }
}

impl fmt::Debug for CompressionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompressionContext").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::extension;

    #[test]
    fn a_reply_that_is_sent_uncompressed_has_no_cost_of_compressing() {
        let large = MAX_AT_ONCE + 1;
        let cost = |window, bytes| Compression::Shared(window).cost_of_reply(bytes);
        // More than the 500,000 ns of a whole step.
        assert!(cost(WindowBits::MAX, MAX_AT_ONCE) > 500_000);
        assert_eq!(cost(WindowBits::MAX, large), 0);
        // The smallest window has 256 bytes.
        assert!(cost(WindowBits::MIN, 256) > 0);
        assert_eq!(cost(WindowBits::MIN, 257), 0);
        assert_eq!(Compression::Off.cost_of_reply(100), 0);
    }

    #[test]
    fn a_connection_that_wants_no_context_takes_none_from_the_limited_number() {
        let contexts = Contexts::new(&config::Deflate {
            contexts: 1,
            ..config::Deflate::default()
        });
        let grant = |offer: &str| {
            let agreed = extension::accept([offer.as_bytes()].into_iter(), true);
            contexts.grant(agreed.unwrap().unwrap())
        };
        // Returns true if a context was granted.
        let keeps = |agreed: &Agreed| {
            assert_eq!(agreed.permit.is_some(), agreed.agreement.keeps_context);
            agreed.agreement.keeps_context
        };
        let without_context = grant("permessage-deflate; server_no_context_takeover");
        // This gets the only context, and gives it back when it is dropped.
        assert!(keeps(&grant("permessage-deflate")));
        assert!(!keeps(&without_context));
        let _granted = grant("permessage-deflate");
        assert!(!keeps(&grant("permessage-deflate")));
    }
}
