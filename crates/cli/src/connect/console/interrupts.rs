//! Ctrl-C, and the other ways in which a user ends the client.

use std::future::pending;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Reports each Ctrl-C of the user.
#[derive(Debug)]
pub(crate) struct Interrupts {
    pressed: mpsc::Receiver<()>,
    /// True once the client was told of a Ctrl-C.
    pub(crate) was_pressed: bool,
}

impl Interrupts {
    /// Handles SIGINT from now on, and SIGTERM, SIGHUP and SIGQUIT if `saves_terminal`: without a
    /// handler, they would leave the terminal in the mode of the line editor. Also returns the sender
    /// for a Ctrl-C that is typed as a key.
    pub(super) fn listen(saves_terminal: bool) -> (Self, mpsc::Sender<()>) {
        let (sender, pressed) = mpsc::channel(1);
        let mut kinds = vec![SignalKind::interrupt()];
        if saves_terminal {
            kinds.extend([
                SignalKind::terminate(),
                SignalKind::hangup(),
                SignalKind::quit(),
            ]);
        }
        for kind in kinds {
            // If the handler can't be installed, the signal kills the process.
            let Ok(mut signals) = signal(kind) else {
                continue;
            };
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() && sender.send(()).await.is_ok() {}
            });
        }
        let interrupts = Self {
            pressed,
            was_pressed: false,
        };
        (interrupts, sender)
    }

    /// Waits for Ctrl-C.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only waits on a channel.
    pub(crate) async fn next(&mut self) {
        if self.pressed.recv().await.is_none() {
            // No handler could be installed. Then Ctrl-C kills the process.
            pending::<()>().await;
        }
        self.was_pressed = true;
    }
}
