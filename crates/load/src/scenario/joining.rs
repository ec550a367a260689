//! How subscribers and publishers join in: over which connection, and in whose words.

use std::time::Duration;

use crate::{
    client::{ClientKey, Line, Role, clients::Clients, frame::Opcode, relay::Registrar},
    clock::Moment,
    error::Error,
    plan::{self, TOPIC, Target, Via, Words},
};

#[derive(Debug)]
pub(crate) struct Joining {
    target: Target,
    via: Via,
    /// In the names of topics, so that runs at the same time don't mix.
    run: u32,
    registrar: Option<Registrar>,
    /// Of each subscriber, whether its subscription is in force.
    is_subscribed: Vec<bool>,
    subscribed: usize,
    /// When the last one has asked for it.
    asked: Option<Moment>,
}

impl Joining {
    pub(crate) fn new(plan: &plan::Fanout, target: &Target) -> Self {
        Self {
            target: target.clone(),
            via: plan.via.clone(),
            run: plan.run,
            registrar: None,
            is_subscribed: vec![false; plan.subscribers],
            subscribed: 0,
            asked: None,
        }
    }

    pub(crate) fn via(&self) -> &Via {
        &self.via
    }

    pub(crate) fn topic_name(&self, topic: usize) -> String {
        topic_name(self.run, topic)
    }

    /// Begins a connection that follows `topic`.
    pub(crate) fn dial_subscriber(
        &mut self,
        role: Role,
        topic: usize,
        clients: &mut Clients,
        due: Moment,
    ) -> Result<ClientKey, Error> {
        let path = match &self.via {
            Via::Relay(base) => {
                let base = base.clone();
                self.register(&base, topic)?
            }
            Via::WebSocket(_) => self.path(topic),
        };
        clients.dial(role, &path, due)
    }

    /// Begins a connection that publishes `stream` to `topic`.
    pub(crate) fn dial_publisher(
        &self,
        stream: usize,
        topic: usize,
        clients: &mut Clients,
        due: Moment,
    ) -> Result<ClientKey, Error> {
        let role = Role::Publisher(stream);
        match &self.via {
            Via::Relay(_) => clients.dial_http(role, due),
            Via::WebSocket(_) => clients.dial(role, &self.path(topic), due),
        }
    }

    fn path(&self, topic: usize) -> String {
        self.target.path.replace(TOPIC, &self.topic_name(topic))
    }

    fn register(&mut self, base: &str, topic: usize) -> Result<String, Error> {
        let name = self.topic_name(topic);
        let registrar = match &mut self.registrar {
            Some(registrar) => registrar,
            None => {
                let Target {
                    address, authority, ..
                } = &self.target;
                let registrar = Registrar::connect(*address, authority, base);
                let registrar = registrar.map_err(|error| Error::Connect(*address, error));
                self.registrar.insert(registrar?)
            }
        };
        registrar.register(topic, &name)
    }

    /// A connection that follows `topic` is open: it subscribes, if that takes words; whether
    /// that is to be confirmed.
    pub(crate) fn subscribe(&self, topic: usize, line: &mut Line<'_>) -> Confirmation {
        let Via::WebSocket(words) = &self.via else {
            return Confirmation::NotNeeded;
        };
        let Some(subscribe) = &words.subscribe else {
            return Confirmation::NotNeeded;
        };
        let message = subscribe.replace(TOPIC, &self.topic_name(topic));
        line.send(Opcode::Text, &[message.as_bytes()]);
        match words.subscribed {
            Some(_) => Confirmation::Awaited,
            None => Confirmation::NeverCome,
        }
    }

    /// Subscriber `index` of `topic` is connected.
    pub(crate) fn opened(&mut self, index: usize, topic: usize, line: &mut Line<'_>, now: Moment) {
        match self.subscribe(topic, line) {
            Confirmation::Awaited => {}
            Confirmation::NeverCome => {
                self.asked = Some(now);
                self.subscribed(index);
            }
            Confirmation::NotNeeded => self.subscribed(index),
        }
    }

    /// Subscriber `index` got a message of the server's own: it may be the confirmation.
    pub(crate) fn heard(&mut self, index: usize, message: &[u8]) {
        let Via::WebSocket(Words {
            subscribed: Some(words),
            ..
        }) = &self.via
        else {
            return;
        };
        let words = words.as_bytes();
        if message
            .windows(words.len().max(1))
            .any(|bytes| bytes == words)
        {
            self.subscribed(index);
        }
    }

    fn subscribed(&mut self, index: usize) {
        let is_subscribed = &mut self.is_subscribed[index];
        if !*is_subscribed {
            *is_subscribed = true;
            self.subscribed += 1;
        }
    }

    /// Whether all subscriptions are in force, as far as that can be known.
    pub(crate) fn is_ready(&self, now: Moment) -> bool {
        let has_settled = self.asked.is_none_or(|asked| now.since(asked) >= SETTLING);
        has_settled && self.subscribed == self.is_subscribed.len()
    }
}

/// Whether a server says that a subscription is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    Awaited,
    NeverCome,
    NotNeeded,
}

/// The name of topic number `topic` in this run.
pub(crate) fn topic_name(run: u32, topic: usize) -> String {
    format!("load-{run}-{topic}")
}

/// How long subscriptions that nobody confirms are given. Arbitrary.
const SETTLING: Duration = Duration::from_millis(500);
