//! Echoes: what a client sends comes back to it alone.

use crate::protocol::{Context, Fragment, Incoming, Protocol};

/// Every message goes back to its sender.
#[derive(Clone, Copy, Debug)]
pub struct Echo;

/// Every frame goes back to its sender: fragments stay fragments, unless compression was agreed on.
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
