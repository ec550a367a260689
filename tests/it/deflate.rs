//! permessage-deflate (RFC 7692). The tests inflate with a zlib of their own.

mod broadcast;
mod negotiation;
mod wire;
