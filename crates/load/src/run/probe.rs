//! One connection before all others: what is wrong with the server is said before a run begins,
//! and what it builds for its first connection is not taken for the memory of every one.

use crate::{
    client::{
        dialog::{Dialog, Failure},
        handshake,
    },
    error::Error,
    plan::{TOPIC, Target},
};

/// An open connection that nobody uses.
#[derive(Debug)]
pub(crate) struct Probe(#[expect(dead_code, reason = "it is only held open")] Dialog);

impl Probe {
    /// Connects, and does the opening handshake.
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
