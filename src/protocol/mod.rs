//! What messages mean, by the path that a client has connected to. Pure: a message in, a
//! [`Reaction`] out.

pub(crate) mod relay;

use crate::{
    topic_name::TopicName,
    wire::frame::{Frame, Kind},
};

/// What to do about a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Publish this to the connection's topics.
    Publish(Frame),
    /// Send this back.
    Reply(Frame),
    /// Follow these topics from now on, and say so when that is in force.
    Follow(Vec<TopicName>),
}

/// The echo: every message goes back as it came.
pub(crate) fn echo(kind: Kind, payload: &[u8]) -> Reaction {
    Reaction::Reply(Frame::message(kind, payload))
}

/// The chat room: every message goes to all who follow the connection's topics.
pub(crate) fn chat(kind: Kind, payload: &[u8]) -> Reaction {
    Reaction::Publish(Frame::message(kind, payload))
}
