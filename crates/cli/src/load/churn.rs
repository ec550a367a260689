//! `framecast load churn`: subscribers connect and leave, while others must receive every message.

use framecast_load::plan::{self, Pace};

use crate::{
    load::{
        Scenario,
        common::{CommonArgs, Rate, WEBSOCKET_URL},
        fanout::{Crowd, describe},
        figures::{message_rate, plural, rate},
        help,
    },
    value::Count,
};

/// Let connections come and go, while others must receive every message
///
/// Publishes as fanout does, to subscribers that stay and must receive every
/// message. Meanwhile --connections others connect, stay for a while and leave:
/// half of them with a closing handshake, half without. None of these may miss a
/// message between its first and its last one. The run fails if a message is
/// missing, duplicate, out of order or corrupted.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = help::SEE,
    mut_arg("url", |url| url.help(WEBSOCKET_URL))
)]
pub(super) struct Args {
    /// Connections that come and go: how many are open at a time
    #[arg(long, value_name = "N", default_value = "100")]
    connections: Count,

    /// Connections that come and go: how many connect in a second; as many leave
    #[arg(long, value_name = "N", default_value = "200")]
    rate: Rate,

    /// Messages in a second over all publishers
    #[arg(
        long,
        value_name = "N",
        default_value = "100",
        conflicts_with = "in_flight"
    )]
    publish_rate: Rate,

    /// Messages in flight of each publisher, instead of a rate
    #[arg(long, value_name = "N")]
    in_flight: Option<Count>,

    #[command(flatten)]
    crowd: Crowd,

    #[command(flatten)]
    common: CommonArgs,
}

impl Args {
    pub(super) fn scenario(self) -> anyhow::Result<Scenario> {
        let (pace, paced) = match self.in_flight {
            Some(in_flight) => {
                let in_flight = in_flight.0.get();
                (Pace::InFlight(in_flight), format!("{in_flight} in flight"))
            }
            None => {
                let Rate(rate) = self.publish_rate;
                (Pace::PerSecond(rate), message_rate(rate))
            }
        };
        let fanout = self.crowd.plan(pace)?;
        let churners = self.connections.0.get();
        let Rate(churners_per_second) = self.rate;
        Ok(Scenario {
            name: "churn",
            description: format!(
                "{}, {paced}; {} that come and go, {}/s",
                describe(&fanout),
                plural(churners as u64, "connection"),
                rate(churners_per_second)
            ),
            default_url: self.crowd.default_url(),
            common: self.common.into(),
            plan: plan::Scenario::Churn(plan::Churn {
                fanout,
                churners,
                per_second: churners_per_second,
            }),
            must_be_whole: true,
        })
    }
}
