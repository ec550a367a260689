//! `framecast load handshake`: connections that are opened and closed at once, by the two
//! handshakes of RFC 6455.

use framecast_load::plan;

use crate::{
    load::{
        Scenario,
        common::{CommonArgs, Rate},
        figures::{plural, rate},
        help,
    },
    value::Count,
};

/// Open connections and close them at once, again and again
///
/// The time to open is that of the connect and the opening handshake.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, after_help = help::SEE)]
pub(super) struct Args {
    /// Number of connections at a time
    #[arg(long, value_name = "N", default_value = "64")]
    connections: Count,

    /// Begin this many connections in a second [default: the next one when one is closed]
    #[arg(long, value_name = "N")]
    rate: Option<Rate>,

    #[command(flatten)]
    common: CommonArgs,
}

impl Args {
    pub(super) fn scenario(self) -> Scenario {
        let connections = self.connections.0.get();
        let paced = self.rate.map_or(String::new(), |Rate(per_second)| {
            format!(", {}/s", rate(per_second))
        });
        Scenario {
            name: "handshake",
            description: format!(
                "{} at a time{paced}",
                plural(connections as u64, "connection")
            ),
            default_url: "ws://127.0.0.1:8080/echo",
            common: self.common.into(),
            plan: plan::Scenario::Handshake(plan::Handshake {
                connections,
                per_second: self.rate.map(|Rate(rate)| rate),
            }),
            must_be_whole: false,
        }
    }
}
