//! permessage-deflate (RFC 7692): what goes over the wire, and a peer's own zlib to look at it.

mod broadcast;
mod negotiation;
mod wire;
