//! `framecast load echo`: messages that the server sends back.

use framecast_load::plan::{self, Pace};

use crate::{
    load::{
        Scenario,
        common::{CommonArgs, MessageArgs, Rate},
        figures::{count, message_rate, plural},
        help,
    },
    value::Count,
};

/// Send messages to an echo server, and compare the replies
///
/// Each connection has --depth messages in flight, and sends the next one when a
/// reply has arrived. With --rate, all connections together send that many messages
/// in a second instead.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_help = help::SEE)]
pub(super) struct Args {
    /// Number of connections
    #[arg(long, value_name = "N", default_value = "100")]
    connections: Count,

    /// Messages in flight on each connection
    #[arg(long, value_name = "N", default_value = "1")]
    depth: Count,

    /// Messages in a second over all connections, whether or not earlier ones were answered
    #[arg(long, value_name = "N", conflicts_with = "depth")]
    rate: Option<Rate>,

    #[command(flatten)]
    message: MessageArgs,

    #[command(flatten)]
    common: CommonArgs,
}

impl Args {
    pub(super) fn scenario(self) -> anyhow::Result<Scenario> {
        let connections = self.connections.0.get();
        let (pace, paced) = match self.rate {
            Some(Rate(rate)) => (Pace::PerSecond(rate), message_rate(rate)),
            None => {
                let depth = self.depth.0.get();
                (Pace::InFlight(depth), format!("{depth} in flight on each"))
            }
        };
        let format = self.message.format(0, "")?;
        Ok(Scenario {
            name: "echo",
            description: format!(
                "{} of {} B, {paced}",
                plural(connections as u64, "connection"),
                count(format.size as u64)
            ),
            default_url: "ws://127.0.0.1:8080/echo",
            common: self.common.into(),
            plan: plan::Scenario::Echo(plan::Echo {
                connections,
                format,
                pace,
            }),
            must_be_whole: false,
        })
    }
}
