//! Handles Ctrl-C: the first one ends the measured time, the second one ends the process.

use std::{process, thread};

use framecast_load::{Interruption, Moment};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use crate::INTERRUPTED;

/// Starts to handle SIGINT, and returns the interruption that the first one triggers.
pub(super) fn listen() -> anyhow::Result<Interruption> {
    let interruption = Interruption::default();
    let clone = interruption.clone();
    // On a thread of its own, because the run blocks this one.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut interrupts = {
        let _entered = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    thread::spawn(move || {
        runtime.block_on(async {
            interrupts.recv().await;
            clone.ask(Moment::now());
            interrupts.recv().await;
            process::exit(INTERRUPTED.into());
        });
    });
    Ok(interruption)
}
