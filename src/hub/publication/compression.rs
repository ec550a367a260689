//! How messages are compressed towards a connection, and the compressors of a shard.
//!
//! Nobody's frames depend on what was sent before (RFC 7692 §7.1.1), so that connections with the
//! same window share what was compressed once; all but those few that were granted a context of
//! their own, which is large, and which makes their frames nobody else's.

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

/// How messages are compressed towards one connection.
#[derive(Debug, Default)]
pub(in crate::hub) enum Compression {
    /// Not at all.
    #[default]
    Off,
    /// As for everybody else with this window.
    Shared(WindowBits),
    /// In a context of its own, in which later messages refer to earlier ones.
    Own(Box<CompressionContext>),
}

/// permessage-deflate as agreed on in an opening handshake.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) agreement: Agreement,
    permit: Option<OwnedSemaphorePermit>,
}

/// A connection's own compressor.
pub(in crate::hub) struct CompressionContext {
    deflater: Deflater,
    min_bytes: usize,
    _permit: OwnedSemaphorePermit,
}

/// The compressors of a shard, one for each window; each is made when it is first needed.
#[derive(Debug)]
pub(in crate::hub) struct Compressors {
    min_bytes: usize,
    budget: Arc<Budget>,
    by_window: [Option<Box<Deflater>>; WindowBits::ALL.len()],
    /// How many connections want messages compressed for each window.
    wanted_by: [usize; WindowBits::ALL.len()],
}

/// How many connections may have a context of their own.
#[derive(Debug)]
pub(in crate::hub) struct Contexts {
    most: usize,
    left: Arc<Semaphore>,
}

impl Contexts {
    pub(in crate::hub) fn new(config: &config::Deflate) -> Self {
        Self {
            most: config.contexts,
            left: Arc::new(Semaphore::new(config.contexts)),
        }
    }

    /// Returns how many connections have one.
    pub(in crate::hub) fn granted(&self) -> usize {
        self.most.saturating_sub(self.left.available_permits())
    }

    /// Grants the connection a context of its own if it agreed to one and one is left.
    pub(in crate::hub) fn grant(&self, mut agreement: Agreement) -> Agreed {
        let wanted = agreement.keeps_context.then(|| Arc::clone(&self.left));
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

    /// A message that is for this connection alone, as it takes it. A [large](is_large) one stays as
    /// it is.
    pub(in crate::hub) fn form(&mut self, message: Frame, compressors: &mut Compressors) -> Frame {
        match self {
            Self::Off => message,
            _ if is_large(&message) => message,
            Self::Shared(window) => compressors.compress(&message, *window),
            Self::Own(context) => context.compress(&message),
        }
    }

    /// Returns what [that](Self::form) may take for a message of so many bytes, in nanoseconds.
    pub(in crate::hub) fn cost_of_form(&self, bytes: usize) -> u64 {
        let cost = Cost::of(bytes);
        match self {
            Self::Off => 0,
            Self::Shared(window) => cost.for_window(*window).min(cost.in_context()),
            Self::Own(_) => cost.in_context(),
        }
    }
}

impl CompressionContext {
    /// The message, compressed if it is large enough for that and not [too large](is_large); in the
    /// order in which it is sent.
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
            wanted_by: Default::default(),
        }
    }

    /// Returns what compressed messages that are shared are charged to.
    pub(in crate::hub) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Takes note that one more connection wants messages compressed for a window.
    pub(in crate::hub) fn want(&mut self, window: WindowBits) {
        self.wanted_by[window.index()] += 1;
    }

    /// Takes note that a connection with this window has gone.
    pub(in crate::hub) fn no_longer_want(&mut self, window: WindowBits) {
        self.wanted_by[window.index()] -= 1;
    }

    /// Returns the windows that are wanted.
    pub(in crate::hub) fn windows(&self) -> Windows {
        let wanted = |window: &WindowBits| self.wanted_by[window.index()] > 0;
        let wanted = WindowBits::ALL.into_iter().filter(wanted);
        Windows(wanted.map(|window| 1 << window.index()).sum())
    }

    /// The message, compressed if that makes it smaller.
    pub(in crate::hub) fn compress(&mut self, message: &Frame, window: WindowBits) -> Frame {
        let deflater =
            self.by_window[window.index()].get_or_insert_with(|| Box::new(Deflater::new(window)));
        compress(deflater, self.min_bytes, message)
    }
}

/// Returns true if compressing the message takes so long that it is done in steps.
pub(in crate::hub) fn is_large(message: &Frame) -> bool {
    message.payload().len() > MAX_AT_ONCE
}

/// The largest message that is compressed in one go: up to 0.7 ms, and the default limit.
const MAX_AT_ONCE: usize = 64 * 1024;

/// Windows that messages are compressed for, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct Windows(pub(in crate::hub) u8);

/// The forms in which a shard compresses what is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct Forms {
    pub(in crate::hub) windows: Windows,
    /// Connections with a context of their own.
    pub(in crate::hub) contexts: usize,
}

/// The time that compressing messages once may take, in nanoseconds: none for those who get them as
/// they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct Cost {
    /// For any window but the smallest.
    window: u64,
    smallest: u64,
    context: u64,
}

impl Cost {
    /// Returns that of a message of so many bytes.
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

/// Returns what it may take to compress a piece of a message, in nanoseconds.
pub(in crate::hub) fn cost_of_piece(bytes: usize) -> u64 {
    bytes as u64 * BYTE
}

/// What the compressor needs to forget the message before, in nanoseconds (measured).
const RESET: u64 = 4_000;

/// What it takes to compress a byte, in nanoseconds. Measured: 7 to 11 for noise and for text of
/// few repetitions; 0.1 to 1 for what is easy, but nobody has to send that.
const BYTE: u64 = 10;

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
    fn a_reply_costs_nothing_to_compress_if_it_is_sent_as_it_is() {
        let large = MAX_AT_ONCE + 1;
        let cost = |window, bytes| Compression::Shared(window).cost_of_form(bytes);
        assert!(cost(WindowBits::MAX, MAX_AT_ONCE) > 500_000);
        assert_eq!(cost(WindowBits::MAX, large), 0);
        assert!(cost(WindowBits::MIN, 256) > 0);
        assert_eq!(cost(WindowBits::MIN, 257), 0);
        assert_eq!(Compression::Off.cost_of_form(100), 0);
    }

    #[test]
    fn one_that_wants_no_context_keeps_none_from_others() {
        let contexts = Contexts::new(&config::Deflate {
            contexts: 1,
            ..config::Deflate::default()
        });
        let grant = |offer: &str| {
            let agreed = extension::accept([offer.as_bytes()].into_iter(), true);
            contexts.grant(agreed.unwrap().unwrap())
        };
        let keeps = |agreed: &Agreed| {
            assert_eq!(agreed.permit.is_some(), agreed.agreement.keeps_context);
            agreed.agreement.keeps_context
        };
        let forgetful = grant("permessage-deflate; server_no_context_takeover");
        assert!(keeps(&grant("permessage-deflate")));
        assert!(!keeps(&forgetful));
        let _one = grant("permessage-deflate");
        assert!(!keeps(&grant("permessage-deflate")));
    }
}
