//! framecast: a WebSocket broadcast server.

mod config;
mod hub;
mod metrics;
pub mod wire;
