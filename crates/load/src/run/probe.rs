//! A connection that is opened before all others of the run, for two reasons. If the server does
//! not answer as it should, the run fails at once. And the server allocates some memory only for
//! its first connection: thanks to the probe this happens before the memory is measured, so that it
//! does not count as memory of the run's connections.

use crate::{
    client::{
        dialog::{Dialog, Failure},
        handshake::Handshake,
    },
    error::Error,
    plan::{TOPIC, Target},
};

/// An open connection that sends nothing after its handshake.
#[derive(Debug)]
pub(crate) struct Probe(#[expect(dead_code, reason = "it is only held open")] Dialog);

impl Probe {
    /// Connects to `target`, and does the opening handshake.
    pub(crate) fn open(target: &Target) -> Result<Self, Error> {
        let path = target.path.replace(TOPIC, "load-probe");
        let handshake =
            Handshake::new(target, &path).map_err(|error| Error::Random(error.into()))?;
        let mut dialog = Dialog::open(target.address)?;
        let check = |answer: &[u8], _| handshake.expected.check(answer);
        match dialog.ask(&handshake.request, check) {
            Ok(_) => Ok(Self(dialog)),
            Err(Failure::Ended(error) | Failure::Broken(error)) => Err(Error::Broken(error)),
            Err(Failure::Rejected(rejection)) => Err(Error::Rejected(rejection)),
        }
    }
}
