//! `framecast load idle`: connections that are held open, and do nothing.

use framecast_load::plan;

use crate::{
    load::{Scenario, common::CommonArgs, figures::plural},
    value::Count,
};

/// Open connections, and hold them
///
/// With --pid it says what each connection takes of the server's memory. The
/// latency is that of connecting and the opening handshake, and what is delivered
/// is a connection that is still there at the end.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// How many connections
    #[arg(long, value_name = "N", default_value = "1000")]
    connections: Count,

    #[command(flatten)]
    common: CommonArgs,
}

impl Args {
    pub(super) fn scenario(self) -> Scenario {
        let connections = self.connections.0.get();
        Scenario {
            name: "idle",
            description: plural(connections as u64, "connection"),
            default_url: "ws://127.0.0.1:8080/ws",
            common: self.common.into(),
            plan: plan::Scenario::Idle(plan::Idle { connections }),
            must_be_whole: false,
        }
    }
}
