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
        figures::{count, message_rate, plural},
        help,
    },
    value::Count,
};

/// Publish numbered messages, and check what every subscriber receives
///
/// Every message has its number and its scheduled time in it. For each subscriber,
/// missing, duplicate and late messages are counted, and the latency is measured.
/// Each publisher has --in-flight messages in flight. With --rate, all publishers
/// together publish that many messages in a second instead.
///
/// Publishers and subscribers connect to the URL with its {topic} filled in, or
/// with ?topic= appended. For a server with a protocol of its own, give the
/// messages that it takes:
///
///   framecast load fanout --url ws://host/app \
///     --subscribe '{"subscribe":"{topic}"}' --subscribed '"ok"' \
///     --publish '{"to":"{topic}","data":"{payload}"}'
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = help::SEE,
    mut_arg("url", |url| url.help(WEBSOCKET_URL))
)]
pub(super) struct Args {
    #[command(flatten)]
    crowd: Crowd,

    /// Messages in flight of each publisher
    #[arg(long, value_name = "N", default_value = "1")]
    in_flight: Count,

    /// Messages in a second over all publishers, whether or not earlier ones were delivered
    #[arg(long, value_name = "N", conflicts_with = "in_flight")]
    rate: Option<Rate>,

    #[command(flatten)]
    common: CommonArgs,
}

/// Options for subscribers, publishers and their messages.
#[derive(Debug, clap::Args)]
pub(super) struct Crowd {
    /// Number of subscribers
    #[arg(long, value_name = "N", default_value = "100")]
    subscribers: Count,

    /// Number of publishers; if there are fewer than topics, one publishes to several topics, over
    /// a connection for each
    #[arg(long, value_name = "N", default_value = "1")]
    publishers: Count,

    /// Number of topics, over which subscribers and publishers are spread
    #[arg(long, value_name = "N", default_value = "1")]
    topics: Count,

    #[command(flatten)]
    message: MessageArgs,

    #[command(flatten)]
    protocol: ProtocolArgs,
}

/// Options for the protocol of the server.
#[derive(Debug, clap::Args)]
struct ProtocolArgs {
    /// Use framecast's relay below the URL: register the subscribers and publish over HTTP
    #[arg(long, help_heading = PROTOCOL, conflicts_with_all = ["subscribe", "subscribed", "publish"])]
    relay: bool,

    /// Message with {topic} that each subscriber sends first [default: none, connecting subscribes]
    #[arg(long, help_heading = PROTOCOL, value_name = "TEXT")]
    subscribe: Option<String>,

    /// Text in the server's message that confirms a subscription [default: wait half a second]
    #[arg(long, help_heading = PROTOCOL, value_name = "TEXT", requires = "subscribe")]
    subscribed: Option<String>,

    /// Message that a publisher sends; {topic} and {payload} are replaced [default: {payload}]
    #[arg(long, help_heading = PROTOCOL, value_name = "TEXT")]
    publish: Option<String>,
}

const PROTOCOL: &str = "Protocol";

impl Args {
    pub(super) fn scenario(self) -> anyhow::Result<Scenario> {
        let (pace, paced) = match self.rate {
            Some(Rate(rate)) => (Pace::PerSecond(rate), message_rate(rate)),
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

/// Formats the numbers of subscribers, publishers and topics and the message size, for the summary.
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
            "the size of the number and the time in a message",
        )?;
        let (publishers, topics) = (self.publishers.0.get(), self.topics.0.get());
        let subscribers = self.subscribers.0.get();
        ensure!(
            topics <= subscribers,
            "--topics: {topics} is more than the {}, so that some would have no subscriber",
            plural(subscribers as u64, "subscriber")
        );
        let streams = publishers.max(topics);
        ensure!(
            streams <= Stamp::MAX_STREAMS,
            "at most {} publishers and as many topics are supported",
            Stamp::MAX_STREAMS
        );
        if let Some(publish) = &self.protocol.publish {
            // One place, because a publication has one number.
            ensure!(
                publish.matches(plan::PAYLOAD).count() == 1,
                "--publish: the text must contain {} once",
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
            // `address_topics` fills the path in, from the URL.
            return Protocol::Relay(String::new());
        }
        Protocol::Template(ProtocolTemplate {
            subscribe: protocol.subscribe.clone(),
            subscribed: protocol.subscribed.clone(),
            publish: protocol.publish.clone(),
        })
    }
}
