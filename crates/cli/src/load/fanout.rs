//! `framecast load fanout`: publications to subscribers.

use anyhow::ensure;
use framecast_load::{
    Stamp,
    plan::{self, Pace, Protocol, ProtocolTemplate},
};

use crate::{
    load::{
        Scenario,
        common::{CommonArgs, MessageArgs, Rate, WEBSOCKET_URL},
        figures::{count, plural, rounded},
    },
    value::Count,
};

/// Publish numbered messages, and see what reaches the subscribers
///
/// Every message carries its number and the moment at which it was to be sent; of
/// each subscriber it is known what it missed, what came twice or too late, and
/// when. Each publisher has --in-flight messages under way; or, with --rate, all
/// together publish so many in a second.
///
/// Both sides connect to the URL with its {topic} filled in, or with ?topic= behind
/// it. Servers with a protocol of their own want to be told:
///
///   framecast load fanout --url ws://host/app \
///     --subscribe '{"subscribe":"{topic}"}' --subscribed '"ok"' \
///     --publish '{"to":"{topic}","data":"{payload}"}'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, mut_arg("url", |url| url.help(WEBSOCKET_URL)))]
pub(super) struct Args {
    #[command(flatten)]
    crowd: Crowd,

    /// Messages under way of each publisher
    #[arg(long, value_name = "N", default_value = "1")]
    in_flight: Count,

    /// Messages in a second over all publishers, whatever has become of those before
    #[arg(long, value_name = "N", conflicts_with = "in_flight")]
    rate: Option<Rate>,

    #[command(flatten)]
    common: CommonArgs,
}

/// Options about subscribers, publishers and their messages.
#[derive(Debug, clap::Args)]
pub(super) struct Crowd {
    /// How many subscribers
    #[arg(long, value_name = "N", default_value = "100")]
    subscribers: Count,

    /// How many publishers; with fewer than topics, each has several, and a connection for each
    #[arg(long, value_name = "N", default_value = "1")]
    publishers: Count,

    /// How many topics; subscribers and publishers are spread over them
    #[arg(long, value_name = "N", default_value = "1")]
    topics: Count,

    #[command(flatten)]
    message: MessageArgs,

    #[command(flatten)]
    protocol: ProtocolArgs,
}

/// Options about the protocol of the server.
#[derive(Debug, clap::Args)]
struct ProtocolArgs {
    /// Register the subscribers with framecast's relay below the URL, and publish over HTTP
    #[arg(long, help_heading = PROTOCOL, conflicts_with_all = ["subscribe", "subscribed", "publish"])]
    relay: bool,

    /// What a subscriber says first, with {topic} in it; without it, connecting subscribes
    #[arg(long, help_heading = PROTOCOL, value_name = "TEXT")]
    subscribe: Option<String>,

    /// What a message has in it that confirms this [default: half a second]
    #[arg(long, help_heading = PROTOCOL, value_name = "TEXT", requires = "subscribe")]
    subscribed: Option<String>,

    /// What a publisher says, with {topic} and {payload} in it [default: {payload}]
    #[arg(long, help_heading = PROTOCOL, value_name = "TEXT")]
    publish: Option<String>,
}

const PROTOCOL: &str = "Protocol";

impl Args {
    pub(super) fn scenario(self) -> anyhow::Result<Scenario> {
        let (pace, paced) = match self.rate {
            Some(Rate(rate)) => (
                Pace::PerSecond(rate),
                format!("{} messages/s", rounded(rate)),
            ),
            None => {
                let in_flight = self.in_flight.0.get();
                (Pace::InFlight(in_flight), format!("{in_flight} in flight"))
            }
        };
        let fanout = self.crowd.plan(pace)?;
        Ok(Scenario {
            name: "fanout",
            description: format!("{}, {paced}", describe(&fanout)),
            default_url: self.crowd.default_url(),
            common: self.common.into(),
            plan: plan::Scenario::Fanout(fanout),
            must_be_whole: false,
        })
    }
}

/// Returns how many there are of what, for the summary.
pub(super) fn describe(fanout: &plan::Fanout) -> String {
    format!(
        "{}, {}, {}, {} B",
        plural(fanout.subscribers as u64, "subscriber"),
        plural(fanout.publishers as u64, "publisher"),
        plural(fanout.topics as u64, "topic"),
        count(fanout.format.size as u64)
    )
}

impl Crowd {
    pub(super) fn default_url(&self) -> &'static str {
        if self.protocol.relay {
            "ws://127.0.0.1:8080"
        } else {
            "ws://127.0.0.1:8080/ws"
        }
    }

    pub(super) fn plan(&self, pace: Pace) -> anyhow::Result<plan::Fanout> {
        let format = self.message.format(
            Stamp::BYTES,
            "what the number and the moment of a message take",
        )?;
        let (publishers, topics) = (self.publishers.0.get(), self.topics.0.get());
        let subscribers = self.subscribers.0.get();
        ensure!(
            topics <= subscribers,
            "--topics: {topics} is more than the {}: some would have none",
            plural(subscribers as u64, "subscriber")
        );
        let streams = publishers.max(topics);
        ensure!(
            streams <= Stamp::MAX_STREAMS,
            "at most {} publishers and topics can be told apart",
            Stamp::MAX_STREAMS
        );
        if let Some(publish) = &self.protocol.publish {
            ensure!(
                publish.contains(plan::PAYLOAD),
                "--publish: the place of the message is missing, {}",
                plan::PAYLOAD
            );
        }
        Ok(plan::Fanout {
            run: std::process::id(),
            subscribers,
            first: 0,
            publishers,
            topics,
            streams,
            format,
            pace,
            protocol: self.protocol(),
        })
    }

    fn protocol(&self) -> Protocol {
        let protocol = &self.protocol;
        if protocol.relay {
            // The path is filled in from the URL.
            return Protocol::Relay(String::new());
        }
        Protocol::Template(ProtocolTemplate {
            subscribe: protocol.subscribe.clone(),
            subscribed: protocol.subscribed.clone(),
            publish: protocol.publish.clone(),
        })
    }
}
