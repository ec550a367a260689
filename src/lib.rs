//! framecast: a WebSocket broadcast server.

pub mod wire;
