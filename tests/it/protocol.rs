//! A protocol of one's own on the hub's connections: everything that it may do.

use std::convert::Infallible;

use framecast::{
    CloseCode, Context, Disconnect, Fragment, Hub, HubConfig, Identity, Incoming, Kind, Message,
    Protocol, TopicName, Topics, UserId, upgrade_as,
};
use framecast_test_support::{PATIENCE, frame, handshake, text};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

/// Does what its client says, in words, and tells its room who comes and goes.
#[derive(Clone)]
struct Obedient {
    name: &'static str,
    room: Topics,
}

impl Obedient {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            room: topics("room"),
        }
    }

    fn obey(&mut self, command: &str, cx: &mut Context<'_>) {
        let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
        let (first, text) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "all" => cx.publish(&self.room, Message::text(rest)),
            "close" => {
                let code = CloseCode::new(first.parse().unwrap()).unwrap();
                cx.reply_text("goodbye");
                cx.close(code, text);
                cx.reply_text("never sent");
            }
            "follow" => cx.subscribe(&topic(rest)).unwrap(),
            "leave" => cx.unsubscribe(&topic(rest)),
            "others" => cx.publish_to_others(&self.room, Message::text(rest)),
            "to" => cx.publish(&topics(first), Message::text(text)),
            "user" => {
                let user = UserId::new(first).unwrap();
                cx.publish_to_user(&self.room, &user, Message::text(text));
            }
            "who" => cx.reply_text(cx.user().map_or("nobody", |_| "somebody")),
            _ => cx.reply_text("what?"),
        }
    }

    fn tell(&self, what: &str, cx: &mut Context<'_>) {
        let text = format!("{} {what}", self.name);
        cx.publish_to_others(&self.room, Message::text(&text));
    }
}

impl Protocol for Obedient {
    fn on_open(&mut self, cx: &mut Context<'_>) {
        cx.set_topics(&self.room).unwrap();
        cx.reply_text("welcome");
        self.tell("has come", cx);
    }

    fn on_message(&mut self, message: Incoming<'_>, cx: &mut Context<'_>) {
        for command in message.text().expect("text").lines() {
            self.obey(command, cx);
        }
    }

    fn on_close(&mut self, reason: Disconnect, cx: &mut Context<'_>) {
        cx.reply_text("never sent");
        self.tell(&format!("has gone: {reason}"), cx);
    }
}

/// Tells what comes, frame by frame.
#[derive(Clone)]
struct Fragmentary;

impl Protocol for Fragmentary {
    fn on_message(&mut self, message: Incoming<'_>, cx: &mut Context<'_>) {
        cx.reply(Kind::Binary, message.payload());
    }

    fn wants_fragments(&self) -> bool {
        true
    }

    fn on_fragment(&mut self, fragment: Fragment<'_>, cx: &mut Context<'_>) {
        let (kind, is_last) = (fragment.kind(), fragment.is_last());
        cx.reply_text(&format!("{kind:?} {is_last} {}", fragment.payload().len()));
    }
}

/// Closes every connection at once.
#[derive(Clone)]
struct Closed;

impl Protocol for Closed {
    fn on_open(&mut self, cx: &mut Context<'_>) {
        cx.close(CloseCode::new(4500).unwrap(), "not today");
    }

    fn on_message(&mut self, _: Incoming<'_>, _: &mut Context<'_>) {
        unreachable!("it is closed");
    }
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn topics(name: &str) -> Topics {
    topic(name).into()
}

fn hub() -> Hub {
    let mut config = HubConfig::default();
    config.shards = 2.try_into().unwrap();
    Hub::start(&config).unwrap()
}

/// A client, after its opening handshake.
struct Client(DuplexStream);

impl Client {
    async fn open(
        hub: &Hub,
        identity: Identity,
        protocol: impl Protocol + Clone + Send + 'static,
    ) -> Self {
        let (mut client, server) = duplex(4096);
        let hub = hub.clone();
        let service = service_fn(move |mut request| {
            let (hub, identity, protocol) = (hub.clone(), identity.clone(), protocol.clone());
            async move {
                let answer = upgrade_as(&hub, &mut request, identity, protocol).await;
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        tokio::spawn(connection.with_upgrades());
        client.write_all(handshake("/").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, client.read_u8()).await.unwrap().unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        Self(client)
    }

    /// Opens a connection of an [`Obedient`].
    async fn come(hub: &Hub, name: &'static str) -> Self {
        let mut client = Self::open(hub, Identity::anonymous(), Obedient::new(name)).await;
        client.hears("welcome").await;
        client
    }

    async fn says(&mut self, words: &str) {
        self.0.write_all(&text(words)).await.unwrap();
    }

    async fn hears(&mut self, words: &str) {
        assert_eq!(self.receive(2 + words.len()).await[2..], *words.as_bytes());
    }

    async fn receive(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let read = timeout(PATIENCE, self.0.read_exact(&mut bytes)).await;
        read.expect("in time").unwrap();
        bytes
    }
}

#[tokio::test]
async fn a_room_hears_who_comes_and_goes_and_why() {
    let hub = hub();
    let mut one = Client::come(&hub, "one").await;
    let mut two = Client::come(&hub, "two").await;
    one.hears("two has come").await;
    drop(two.0);
    one.hears("two has gone: connection lost").await;
    two = Client::come(&hub, "two").await;
    one.hears("two has come").await;
    two.0.write_all(&frame(0x88, &[0x03, 0xE8])).await.unwrap();
    assert_eq!(two.receive(4).await, [0x88, 2, 0x03, 0xE8]);
    one.hears("two has gone: closed by peer").await;
}

#[tokio::test]
async fn what_one_message_publishes_goes_off_in_its_order_whoever_it_is_for() {
    let hub = hub();
    let mut one = Client::come(&hub, "one").await;
    let mut two = Client::come(&hub, "two").await;
    one.hears("two has come").await;
    two.says("all 1\nothers 2\nothers 3\nto room 4\nnonsense\nall 5")
        .await;
    for expected in ["1", "2", "3", "4", "5"] {
        one.hears(expected).await;
    }
    for expected in ["what?", "1", "4", "5"] {
        two.hears(expected).await;
    }
}

#[tokio::test]
async fn a_user_is_published_to_by_connections_and_by_the_hub() {
    let hub = hub();
    let seven = UserId::from(7_u64);
    let mut one = Client::come(&hub, "one").await;
    let mut user = Client::open(&hub, seven.clone().into(), Obedient::new("user")).await;
    user.hears("welcome").await;
    one.hears("user has come").await;
    one.says("who\nuser 7 for you\nuser 8 for nobody\nall for all")
        .await;
    one.hears("nobody").await;
    one.hears("for all").await;
    user.hears("for you").await;
    user.hears("for all").await;
    user.says("who").await;
    user.hears("somebody").await;
    let room = topic("room");
    let queued = hub.publish_to_user(&room, &seven, Message::text("outside"));
    assert_eq!(queued.await, 1);
    user.hears("outside").await;
}

#[tokio::test]
async fn single_topics_are_followed_and_left() {
    let hub = hub();
    let mut one = Client::come(&hub, "one").await;
    one.says("follow cats\nfollow cats\nto cats meow").await;
    one.hears("meow").await;
    one.says("leave cats\nleave dogs\nto cats unheard\nall heard")
        .await;
    one.hears("heard").await;
    assert_eq!(hub.publish(&topic("cats"), Message::text("x")).await, 0);
    let many: String = (0..127).map(|n| format!("follow {n}\n")).collect();
    one.says(&format!("{many}all done")).await;
    one.hears("done").await;
    assert_eq!(hub.metrics().topics, 128);
}

#[tokio::test]
async fn a_protocol_closes_with_its_code_and_reason_behind_what_it_has_replied() {
    let hub = hub();
    let mut one = Client::come(&hub, "one").await;
    let mut two = Client::come(&hub, "two").await;
    one.hears("two has come").await;
    two.says("all last words\nclose 4321 so long\nall more")
        .await;
    two.says("never heard").await;
    two.hears("goodbye").await;
    assert_eq!(two.receive(11).await, *b"\x88\x09\x10\xE1so long");
    one.hears("last words").await;
    one.hears("more").await;
    one.hears("two has gone: closed by the application").await;
}

#[tokio::test]
async fn whoever_is_not_wanted_gets_its_101_and_a_close() {
    let hub = hub();
    let mut client = Client::open(&hub, Identity::anonymous(), Closed).await;
    assert_eq!(client.receive(13).await, *b"\x88\x0B\x11\x94not today");
}

#[tokio::test]
async fn fragments_come_as_they_are_sent_and_whole_messages_whole() {
    let hub = hub();
    let mut client = Client::open(&hub, Identity::anonymous(), Fragmentary).await;
    let sent = [
        frame(0x01, b"a"),
        frame(0x89, b""),
        frame(0x00, b"bc"),
        frame(0x80, b""),
        frame(0x82, b"whole"),
    ];
    client.0.write_all(&sent.concat()).await.unwrap();
    // The Pong goes before all that waits to be written.
    assert_eq!(client.receive(2).await, [0x8A, 0]);
    for expected in ["Some(Text) false 1", "None false 2", "None true 0", "whole"] {
        client.hears(expected).await;
    }
}
