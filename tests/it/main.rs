//! The server's behaviour, over real sockets on loopback.

mod support;

mod embed;
mod layering;
mod process;
mod soak;
mod tungstenite;
