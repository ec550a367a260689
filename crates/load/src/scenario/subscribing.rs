//! Connects subscribers and publishers, in the protocol of the server.

use std::time::Duration;

use crate::{
    client::{
        clients::{Clients, Endpoint},
        event::{ClientKey, Conn, Role},
        frame::Opcode,
        relay::Registrar,
    },
    clock::Moment,
    error::Error,
    plan::{self, Protocol, ProtocolTemplate, TOPIC, Target},
};

/// Connects the subscribers and publishers of a run, and counts the subscriptions that are in
/// force.
#[derive(Debug)]
pub(crate) struct Subscribing {
    target: Target,
    protocol: Protocol,
    /// Number of the run. It is part of the topics' names, so that simultaneous runs have different
    /// topics.
    run: u32,
    /// Registers subscribers at the relay. `None` if the protocol is not that of the relay.
    registrar: Option<Registrar>,
    /// For each subscriber, true once its subscription is in force.
    is_subscribed: Vec<bool>,
    /// Number of subscribers whose subscription is in force.
    subscribed: usize,
    /// Time at which the last subscription was sent. `None` if the server confirms subscriptions,
    /// or if none has to be sent.
    last_sent: Option<Moment>,
}

impl Subscribing {
    pub(crate) fn new(plan: &plan::Fanout, target: &Target) -> Self {
        let registrar = match &plan.protocol {
            Protocol::Relay(base) => Some(Registrar::new(target, base)),
            Protocol::Template(_) => None,
        };
        Self {
            target: target.clone(),
            protocol: plan.protocol.clone(),
            run: plan.run,
            registrar,
            is_subscribed: vec![false; plan.subscribers],
            subscribed: 0,
            last_sent: None,
        }
    }

    pub(crate) fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// Begins to open a connection for a subscriber of `topic`. Registers it first if the protocol
    /// is that of the relay.
    pub(crate) fn dial_subscriber(
        &mut self,
        role: Role,
        topic: usize,
        clients: &mut Clients,
        due: Moment,
    ) -> Result<ClientKey, Error> {
        let name = self.topic_name(topic);
        let path = match &mut self.registrar {
            Some(registrar) => registrar.register(topic, &name)?,
            None => self.path(topic),
        };
        clients.dial(role, Endpoint::WebSocket(&path), due)
    }

    /// Begins to open the connection that publishes `stream` to `topic`.
    pub(crate) fn dial_publisher(
        &self,
        stream: usize,
        topic: usize,
        clients: &mut Clients,
        due: Moment,
    ) -> Result<ClientKey, Error> {
        let role = Role::Publisher(stream);
        match &self.protocol {
            Protocol::Relay(_) => clients.dial(role, Endpoint::Http, due),
            Protocol::Template(_) => {
                clients.dial(role, Endpoint::WebSocket(&self.path(topic)), due)
            }
        }
    }

    fn path(&self, topic: usize) -> String {
        self.target.path.replace(TOPIC, &self.topic_name(topic))
    }

    fn topic_name(&self, topic: usize) -> String {
        topic_name(self.run, topic)
    }

    /// Sends the message by which an open connection subscribes to `topic`, if the protocol has
    /// one. Returns which confirmation of the server to expect.
    pub(crate) fn subscribe(&self, topic: usize, conn: &mut Conn<'_>) -> Confirmation {
        let Protocol::Template(template) = &self.protocol else {
            return Confirmation::NotNeeded;
        };
        let Some(subscribe) = &template.subscribe else {
            return Confirmation::NotNeeded;
        };
        let message = subscribe.replace(TOPIC, &self.topic_name(topic));
        conn.send(Opcode::Text, &[message.as_bytes()]);
        match template.subscribed {
            Some(_) => Confirmation::Awaited,
            None => Confirmation::NeverSent,
        }
    }

    /// Subscribes subscriber `index`, whose connection has just opened, to `topic`.
    pub(crate) fn on_opened(
        &mut self,
        index: usize,
        topic: usize,
        conn: &mut Conn<'_>,
        now: Moment,
    ) {
        match self.subscribe(topic, conn) {
            Confirmation::Awaited => {}
            Confirmation::NeverSent => {
                self.last_sent = Some(now);
                self.count_subscribed(index);
            }
            Confirmation::NotNeeded => self.count_subscribed(index),
        }
    }

    /// Counts subscriber `index` as subscribed if `message`, which has no stamp, is the
    /// confirmation of a subscription.
    pub(crate) fn on_unstamped(&mut self, index: usize, message: &[u8]) {
        let Protocol::Template(ProtocolTemplate {
            subscribed: Some(confirmation),
            ..
        }) = &self.protocol
        else {
            return;
        };
        let confirmation = confirmation.as_bytes();
        let mut windows = message.windows(confirmation.len().max(1));
        if windows.any(|bytes| bytes == confirmation) {
            self.count_subscribed(index);
        }
    }

    fn count_subscribed(&mut self, index: usize) {
        let is_subscribed = &mut self.is_subscribed[index];
        if !*is_subscribed {
            *is_subscribed = true;
            self.subscribed += 1;
        }
    }

    /// Returns true if all subscriptions are in force. Subscriptions that the server does not
    /// confirm count as in force half a second after the last one was sent.
    pub(crate) fn is_ready(&self, now: Moment) -> bool {
        let has_settled = self
            .last_sent
            .is_none_or(|last_sent| now.since(last_sent) >= SETTLING);
        has_settled && self.subscribed == self.is_subscribed.len()
    }
}

/// The confirmation that the server is expected to send for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// The server will confirm.
    Awaited,
    /// The server takes the subscription, but does not confirm it.
    NeverSent,
    /// No message subscribes: the connection is subscribed as soon as it is open.
    NotNeeded,
}

/// Returns the name of topic number `topic` in this run.
pub(crate) fn topic_name(run: u32, topic: usize) -> String {
    format!("load-{run}-{topic}")
}

/// Time after which subscriptions that the server does not confirm count as in force. Arbitrary.
const SETTLING: Duration = Duration::from_millis(500);
