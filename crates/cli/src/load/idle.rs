//! `framecast load idle`: connections that are held open, and send nothing.

use framecast_load::plan;

use crate::{
    load::{Scenario, common::CommonArgs, figures::plural, help},
    value::Count,
};

/// Open connections, and hold them
///
/// With --pid the result has the server's memory for each connection, and the plot
/// its memory over time. The time to open is that of the connect and the opening
/// handshake. A connection counts as delivered if it is still open at the end.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_help = help::SEE)]
pub(super) struct Args {
    /// Number of connections
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
