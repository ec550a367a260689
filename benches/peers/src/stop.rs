//! Stops the comparison on SIGTERM and SIGINT, so that no server is left running.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use anyhow::{Context as _, ensure};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

static IS_OVER: AtomicBool = AtomicBool::new(false);

/// Starts a thread that waits for the signals.
pub fn listen() -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let listen = |kind| {
        let _runtime = runtime.enter();
        signal(kind).context("listening for signals")
    };
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        IS_OVER.store(true, Relaxed);
    });
    Ok(())
}

/// Fails if a signal has arrived.
pub fn check() -> anyhow::Result<()> {
    ensure!(!IS_OVER.load(Relaxed), "stopped");
    Ok(())
}
