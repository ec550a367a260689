//! A hub inside an application's own server, over streams that are not TCP sockets.

use std::{convert::Infallible, time::Duration};

use framecast::{Chat, Echo, Hub, HubConfig, InvalidTopics, Message, Protocol, TopicName, upgrade};
use framecast_test_support::{
    PATIENCE,
    frames::{Frame, binary, close, masked, text, unmasked},
    handshake, handshake_with,
};
use futures_util::StreamExt as _;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream, DuplexStream, duplex},
    task::yield_now,
    time::timeout,
};

/// Timeout of a hub, for tests that wait until it is over.
const SOON: Duration = Duration::from_millis(50);

/// Bytes that a pipe between client and server holds.
const PIPE_BYTES: usize = 256;

/// Serves one end of a pipe through a buffer, which keeps bytes until it is flushed, as the stream
/// of a TLS server does. Returns the client's end.
fn serve(hub: &Hub, protocol: impl Protocol + Clone + Send + 'static) -> DuplexStream {
    let (client, server) = duplex(PIPE_BYTES);
    serve_on(BufStream::new(server), hub, protocol);
    client
}

/// Serves a stream with hyper, and upgrades each request to a WebSocket of the hub.
fn serve_on(
    server: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    hub: &Hub,
    protocol: impl Protocol + Clone + Send + 'static,
) {
    let hub = hub.clone();
    let service = service_fn(move |mut request| {
        let (hub, protocol) = (hub.clone(), protocol.clone());
        async move { Ok::<_, Infallible>(upgrade(&hub, &mut request, protocol).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
    tokio::spawn(connection.with_upgrades());
}

async fn sends(client: &mut (impl AsyncWrite + Unpin), frame: Frame) {
    client.write_all(&masked([frame])).await.unwrap();
}

async fn receives(client: &mut (impl AsyncRead + Unpin), frame: Frame) {
    let expected = unmasked([frame]);
    let received = read(client, expected.len()).await;
    assert!(received == expected, "{received:02X?}");
}

/// Asserts that the server ends the stream, and that no byte comes before the end.
async fn receives_end(client: &mut DuplexStream) {
    let end = timeout(PATIENCE, client.read(&mut [0])).await;
    assert_eq!(end.expect("in time").unwrap(), 0);
}

async fn read(client: &mut (impl AsyncRead + Unpin), len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    timeout(PATIENCE, client.read_exact(&mut bytes))
        .await
        .expect("in time")
        .unwrap();
    bytes
}

/// Sends an opening handshake and these frames in one write. Returns the head of the response.
async fn open(client: &mut DuplexStream, frames: impl IntoIterator<Item = Frame>) -> String {
    let request = [handshake("/").as_bytes(), &masked(frames)].concat();
    ask(client, &request).await
}

/// Sends a request. Returns the head of the response.
async fn ask(client: &mut DuplexStream, request: &[u8]) -> String {
    client.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(read(client, 1).await);
    }
    String::from_utf8(head).unwrap()
}

fn chat(names: &[&str]) -> Chat {
    let names = names.iter().map(|name| TopicName::new(name).unwrap());
    Chat::new(names).unwrap()
}

#[tokio::test]
async fn a_stream_that_is_not_a_socket_is_served_like_one() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let mut client = serve(&hub, Echo);
    let early = text("sent with the handshake");
    let head = open(&mut client, [early.clone()]).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    receives(&mut client, early).await;
    // Larger than the pipe, so that it is written and read in pieces.
    let large = binary([7; 20 * PIPE_BYTES]);
    let (mut reader, mut writer) = tokio::io::split(client);
    let sent = large.clone();
    let sending = tokio::spawn(async move {
        sends(&mut writer, sent).await;
        writer
    });
    receives(&mut reader, large).await;
    let mut client = reader.unsplit(sending.await.unwrap());
    sends(&mut client, close(1000, "")).await;
    receives(&mut client, close(1000, "")).await;
    receives_end(&mut client).await;
}

#[tokio::test]
async fn a_subscription_is_in_force_when_the_handshake_is_answered_and_repeated_topics_count_once()
{
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let mut client = serve(&hub, chat(&["cats", "cats", "dogs"]));
    let head = open(&mut client, []).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let cats = TopicName::new("cats").unwrap();
    assert_eq!(hub.publish(&cats, Message::text("are awesome")).await, 1);
    receives(&mut client, text("are awesome")).await;
    sends(&mut client, text("once")).await;
    receives(&mut client, text("once")).await;
    // Nothing but the Close follows: "once" was not delivered for each time that the topic is
    // named.
    let draining = tokio::spawn(async move { hub.drain(PATIENCE).await });
    receives(&mut client, close(1012, "server is restarting")).await;
    sends(&mut client, close(1012, "")).await;
    assert_eq!(draining.await.unwrap(), Ok(()), "the connection has ended");
}

#[tokio::test]
async fn a_drained_hub_accepts_no_connections() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    hub.drain(PATIENCE).await.unwrap();
    let mut client = serve(&hub, Echo);
    let head = open(&mut client, []).await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
}

// The application's router checks host names. The hub checks the origin of a page.
#[tokio::test]
async fn any_host_is_accepted_and_the_origin_must_be_that_host_or_the_public_url() {
    let mut config = HubConfig::default();
    config.access.public_url = Some("https://app.example/rt".into());
    let hub = Hub::start(&config).unwrap();
    for (target, host, origin, status) in [
        ("/", "any.example", "http://any.example", 101),
        ("/", "any.example", "https://app.example", 101),
        ("/", "any.example:443", "https://any.example", 101),
        ("/", "any.example", "http://b.example", 403),
        ("/", "me@any.example", "http://any.example", 400),
        ("http://b.example/", "any.example", "http://b.example", 101),
        (
            "http://b.example/",
            "any.example",
            "http://any.example",
            403,
        ),
    ] {
        let mut client = serve(&hub, Echo);
        let request = handshake_with(target, &format!("Origin: {origin}\r\n"));
        let request = request.replace("a.localhost", host);
        let head = ask(&mut client, request.as_bytes()).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(head.starts_with(&expected), "{request}{head}");
    }
}

#[test]
fn a_chat_without_topics_is_refused() {
    assert_eq!(Chat::new([]).unwrap_err(), InvalidTopics::None);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_101_is_dropped() {
    let mut config = HubConfig::default();
    config.timeouts.request = 2 * SOON;
    let hub = Hub::start(&config).unwrap();
    // The response does not fit into the pipe.
    let (mut client, server) = duplex(64);
    serve_on(server, &hub, chat(&["cats"]));
    client.write_all(handshake("/").as_bytes()).await.unwrap();
    let connections = || hub.metrics().connections;
    timeout(PATIENCE, async {
        while connections() == 0 {
            yield_now().await;
        }
        while connections() == 1 {
            yield_now().await;
        }
    })
    .await
    .expect("the connection begins and ends");
}

#[tokio::test]
async fn a_request_that_is_not_a_handshake_is_refused_and_opens_no_connection() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let mut client = serve(&hub, Echo);
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(read(&mut client, 13).await, *b"HTTP/1.1 426 ");
    assert_eq!(hub.metrics().connections, 0);
}

#[tokio::test]
async fn ends_of_connections_are_counted_by_reason() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let unknown_opcode = (0x83, Vec::new());
    for last in [close(1000, ""), close(1000, ""), unknown_opcode] {
        let mut client = serve(&hub, Echo);
        open(&mut client, [last]).await;
        let mut rest = Vec::new();
        let end = timeout(PATIENCE, client.read_to_end(&mut rest));
        end.await.expect("in time").unwrap();
    }
    let ended = hub.metrics().ended;
    assert_eq!(
        (ended.by_peer, ended.protocol_error, ended.total()),
        (2, 1, 3)
    );
}

// A subscription of the process could not answer a Ping while the application does not poll it.
#[tokio::test]
async fn a_subscription_of_the_process_is_not_closed_for_its_silence_as_a_client_is() {
    let mut config = HubConfig::default();
    config.timeouts.ping_after = SOON;
    config.timeouts.pong_within = SOON;
    config.timeouts.close = SOON;
    let hub = Hub::start(&config).unwrap();
    let cats = TopicName::new("cats").unwrap();
    let mut subscription = hub.subscribe(&cats).await.unwrap();
    let mut silent = serve(&hub, Echo);
    open(&mut silent, []).await;
    timeout(PATIENCE, silent.read_to_end(&mut Vec::new()))
        .await
        .expect("in time")
        .unwrap();
    assert_eq!(hub.metrics().ended.no_pong, 1);
    hub.publish(&cats, Message::text("hi")).await;
    let message = timeout(PATIENCE, subscription.next());
    assert_eq!(
        message.await.expect("in time"),
        Some(Ok(Message::text("hi")))
    );
}
