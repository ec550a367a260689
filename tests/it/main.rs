//! The server's behaviour, over real sockets on loopback.

mod support;

mod layering;
mod process;
mod soak;
mod tungstenite;
