//! Protocols of an application, which together use everything that `Context` lets a protocol do.

use std::convert::Infallible;

use framecast::{
    CloseCode, Context, Disconnect, Fragment, Hub, HubConfig, Identity, Incoming, Kind, Message,
    Protocol, TopicName, Topics, UserId, upgrade_as,
};
use framecast_test_support::{
    PATIENCE,
    frames::{Frame, binary, close, first_text, last, masked, middle, ping, pong, text, unmasked},
    handshake,
    limits::TOPICS,
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

/// A protocol that carries out the commands in its client's messages. It publishes to its room when
/// its connection opens and closes.
#[derive(Clone)]
struct Commanded {
    name: &'static str,
    room: Topics,
}

impl Commanded {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            room: topics("room"),
        }
    }

    /// Carries out a command, which is a word and its arguments.
    fn carry_out(&mut self, command: &str, cx: &mut Context<'_>) {
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

    /// Publishes this client's name and what the client `does`, such as "has come", to all others
    /// in the room.
    fn announce(&self, does: &str, cx: &mut Context<'_>) {
        let text = format!("{} {does}", self.name);
        cx.publish_to_others(&self.room, Message::text(&text));
    }
}

impl Protocol for Commanded {
    fn on_open(&mut self, cx: &mut Context<'_>) {
        cx.set_topics(&self.room).unwrap();
        cx.reply_text("welcome");
        self.announce("has come", cx);
    }

    fn on_message(&mut self, message: Incoming<'_>, cx: &mut Context<'_>) {
        for command in message.text().expect("text").lines() {
            self.carry_out(command, cx);
        }
    }

    fn on_close(&mut self, reason: Disconnect, cx: &mut Context<'_>) {
        cx.reply_text("never sent");
        self.announce(&format!("has gone: {reason}"), cx);
    }
}

/// A protocol that replies to each fragment with a description of it, and to each whole message
/// with the same payload as a binary message.
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

/// A protocol that closes every connection as soon as it opens.
#[derive(Clone)]
struct Closing;

impl Protocol for Closing {
    fn on_open(&mut self, cx: &mut Context<'_>) {
        cx.close(CloseCode::new(4500).unwrap(), "not today");
    }

    fn on_message(&mut self, _: Incoming<'_>, _: &mut Context<'_>) {
        unreachable!("the connection is closed");
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

    /// Opens a connection with the protocol [`Commanded`], and reads its welcome.
    async fn enter(hub: &Hub, name: &'static str) -> Self {
        let mut client = Self::open(hub, Identity::anonymous(), Commanded::new(name)).await;
        client.receives(text("welcome")).await;
        client
    }

    async fn sends(&mut self, frame: Frame) {
        self.0.write_all(&masked([frame])).await.unwrap();
    }

    async fn sends_text(&mut self, payload: &str) {
        self.sends(text(payload)).await;
    }

    async fn receives(&mut self, frame: Frame) {
        let expected = unmasked([frame]);
        let mut received = vec![0; expected.len()];
        let read = timeout(PATIENCE, self.0.read_exact(&mut received)).await;
        read.expect("in time").unwrap();
        assert_eq!(
            received,
            expected,
            "as text: {:?}",
            String::from_utf8_lossy(&received)
        );
    }

    async fn receives_text(&mut self, payload: &str) {
        self.receives(text(payload)).await;
    }
}

#[tokio::test]
async fn a_protocol_publishes_when_its_connection_opens_and_why_it_ends() {
    let hub = hub();
    let mut one = Client::enter(&hub, "one").await;
    let mut two = Client::enter(&hub, "two").await;
    one.receives_text("two has come").await;
    drop(two.0);
    one.receives_text("two has gone: connection lost").await;
    two = Client::enter(&hub, "two").await;
    one.receives_text("two has come").await;
    two.sends(close(1000, "")).await;
    two.receives(close(1000, "")).await;
    one.receives_text("two has gone: closed by peer").await;
}

#[tokio::test]
async fn publications_of_one_message_keep_their_order_to_every_audience() {
    let hub = hub();
    let mut one = Client::enter(&hub, "one").await;
    let mut two = Client::enter(&hub, "two").await;
    one.receives_text("two has come").await;
    two.sends_text("all 1\nothers 2\nothers 3\nto room 4\nnonsense\nall 5")
        .await;
    for expected in ["1", "2", "3", "4", "5"] {
        one.receives_text(expected).await;
    }
    for expected in ["what?", "1", "4", "5"] {
        two.receives_text(expected).await;
    }
}

#[tokio::test]
async fn connections_and_the_hub_publish_to_a_user() {
    let hub = hub();
    let seven = UserId::from(7_u64);
    let mut one = Client::enter(&hub, "one").await;
    let mut user = Client::open(&hub, seven.clone().into(), Commanded::new("user")).await;
    user.receives_text("welcome").await;
    one.receives_text("user has come").await;
    one.sends_text("who\nuser 7 for you\nuser 8 for nobody\nall for all")
        .await;
    one.receives_text("nobody").await;
    one.receives_text("for all").await;
    user.receives_text("for you").await;
    user.receives_text("for all").await;
    user.sends_text("who").await;
    user.receives_text("somebody").await;
    let room = topic("room");
    let queued = hub.publish_to_user(&room, &seven, Message::text("outside"));
    assert_eq!(queued.await, 1);
    user.receives_text("outside").await;
}

#[tokio::test]
async fn a_protocol_subscribes_to_single_topics_and_unsubscribes() {
    let hub = hub();
    let mut one = Client::enter(&hub, "one").await;
    one.sends_text("follow cats\nfollow cats\nto cats meow")
        .await;
    one.receives_text("meow").await;
    one.sends_text("leave cats\nleave dogs\nto cats unheard\nall heard")
        .await;
    one.receives_text("heard").await;
    assert_eq!(hub.publish(&topic("cats"), Message::text("x")).await, 0);
    // Together with the room these are as many topics as a connection may have.
    let many: String = (1..TOPICS).map(|n| format!("follow {n}\n")).collect();
    one.sends_text(&format!("{many}all done")).await;
    one.receives_text("done").await;
    assert_eq!(hub.metrics().topics, TOPICS as u64);
}

#[tokio::test]
async fn a_protocol_closes_with_its_code_and_reason_after_its_replies() {
    let hub = hub();
    let mut one = Client::enter(&hub, "one").await;
    let mut two = Client::enter(&hub, "two").await;
    one.receives_text("two has come").await;
    two.sends_text("all last words\nclose 4321 so long\nall more")
        .await;
    two.sends_text("never heard").await;
    two.receives_text("goodbye").await;
    two.receives(close(4321, "so long")).await;
    one.receives_text("last words").await;
    one.receives_text("more").await;
    one.receives_text("two has gone: closed by the application")
        .await;
}

#[tokio::test]
async fn a_protocol_that_closes_at_once_sends_its_close_after_the_101() {
    let hub = hub();
    let mut client = Client::open(&hub, Identity::anonymous(), Closing).await;
    client.receives(close(4500, "not today")).await;
}

#[tokio::test]
async fn a_protocol_gets_fragments_as_they_are_sent_and_unfragmented_messages_whole() {
    let hub = hub();
    let mut client = Client::open(&hub, Identity::anonymous(), Fragmentary).await;
    let sent = masked([
        first_text("a"),
        ping(""),
        middle("bc"),
        last(""),
        binary("whole"),
    ]);
    client.0.write_all(&sent).await.unwrap();
    // The Pong overtakes the replies that wait to be written.
    client.receives(pong("")).await;
    for expected in ["Some(Text) false 1", "None false 2", "None true 0"] {
        client.receives_text(expected).await;
    }
    client.receives(binary("whole")).await;
}
