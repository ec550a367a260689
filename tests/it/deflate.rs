//! permessage-deflate (RFC 7692). The tests inflate with zlib, and without code of the server.

mod broadcast;
mod negotiation;
mod wire;
