//! The echoes: every message, or every frame, goes back to its sender alone.

use crate::protocol::{Context, Fragment, Incoming, Protocol};

/// An echo of messages: every message goes back to its sender.
#[derive(Clone, Copy, Debug)]
pub struct Echo;

/// An echo of frames: every frame goes back to its sender. Fragments stay fragments, unless
/// compression was agreed on.
#[derive(Clone, Copy, Debug)]
pub struct EchoFrames;

impl Protocol for Echo {
    fn on_message(&mut self, message: Incoming<'_>, cx: &mut Context<'_>) {
        cx.reply(message.kind(), message.payload());
    }

    fn is_instant(&self) -> bool {
        true
    }
}

impl Protocol for EchoFrames {
    fn on_message(&mut self, message: Incoming<'_>, cx: &mut Context<'_>) {
        cx.reply(message.kind(), message.payload());
    }

    fn is_instant(&self) -> bool {
        true
    }

    fn wants_fragments(&self) -> bool {
        true
    }

    fn on_fragment(&mut self, fragment: Fragment<'_>, cx: &mut Context<'_>) {
        cx.reply_fragment(fragment);
    }
}
