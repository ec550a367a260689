//! `framecast load idle`: connections that are just there.

use framecast_load::plan::{self, Work};

use super::{Job, common::CommonArgs, figures::plural};
use crate::value::Count;

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
    pub(super) fn job(self) -> Job {
        let connections = self.connections.0.get();
        Job {
            name: "idle",
            description: plural(connections as u64, "connection"),
            default_url: "ws://127.0.0.1:8080/ws",
            common: self.common.into(),
            work: Work::Idle(plan::Idle { connections }),
            must_be_whole: false,
        }
    }
}
