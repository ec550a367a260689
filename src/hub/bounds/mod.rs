//! What keeps work and memory within bounds: the time that a step has ([`allowance`]), the memory that
//! all clients may make the server hold ([`budget`]) with what a shard has of it ([`ledger`]), and the
//! [`turnstile`] that publishers pass.

pub(crate) mod allowance;
pub(crate) mod budget;
pub(crate) mod ledger;
pub(crate) mod turnstile;
