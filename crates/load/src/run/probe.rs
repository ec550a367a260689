//! A connection that is opened before the run. If the server does not answer as it should, the run
//! fails here at once. And memory that the server allocates only for its first connection is
//! allocated before the memory is measured, so that it does not count as memory of all connections.

use crate::{
    client::{
        dialog::{Dialog, Failure},
        handshake,
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
        let request = handshake::request(&target.authority, &path, &target.headers);
        let mut dialog = Dialog::open(target.address)?;
        let check = |answer: &[u8]| handshake::check(target.scheme, answer);
        match dialog.ask(&request, check) {
            Ok(_) => Ok(Self(dialog)),
            Err(Failure::Ended(error) | Failure::Broken(error)) => Err(Error::Broken(error)),
            Err(Failure::Rejected(rejection)) => Err(Error::Rejected(rejection)),
        }
    }
}
