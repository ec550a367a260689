//! A hub inside somebody else's server, over something that is not a TCP socket.

use std::{convert::Infallible, time::Duration};

use framecast::{Chat, Echo, Hub, HubConfig, InvalidTopics, Message, Protocol, TopicName, upgrade};
use framecast_test_support::{PATIENCE, frame, handshake, handshake_with, text};
use futures_util::StreamExt as _;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream, DuplexStream, duplex},
    time::timeout,
};

/// Serves one end of a pipe, as a TLS server would serve its streams: through a buffer, which
/// holds back what it is not told to flush; the client's end.
fn serve(hub: &Hub, protocol: impl Protocol + Clone + Send + 'static) -> DuplexStream {
    let (client, server) = duplex(256);
    serve_on(BufStream::new(server), hub, protocol);
    client
}

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

async fn read(client: &mut DuplexStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    timeout(PATIENCE, client.read_exact(&mut bytes))
        .await
        .expect("in time")
        .unwrap();
    bytes
}

async fn open(client: &mut DuplexStream, behind: &[u8]) -> String {
    ask(client, &[handshake("/").as_bytes(), behind].concat()).await
}

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
async fn a_stream_that_is_not_a_socket_is_served_by_the_same_connection() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let mut client = serve(&hub, Echo);
    let head = open(&mut client, &text("sent with the handshake")).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(
        read(&mut client, 25).await,
        *b"\x81\x17sent with the handshake"
    );
    // Larger than the pipe: written and read in pieces.
    let large = vec![7; 5000];
    let (mut reader, mut writer) = tokio::io::split(client);
    let sent = frame(0x82, &large);
    let sending = tokio::spawn(async move {
        writer.write_all(&sent).await.unwrap();
        writer
    });
    let mut echo = vec![0; 4 + large.len()];
    timeout(PATIENCE, reader.read_exact(&mut echo))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(echo, [&[0x82, 126, 0x13, 0x88][..], &large].concat());
    let mut client = reader.unsplit(sending.await.unwrap());
    client.write_all(&frame(0x88, &[0x03, 0xE8])).await.unwrap();
    assert_eq!(read(&mut client, 4).await, [0x88, 2, 0x03, 0xE8]);
    assert_eq!(
        timeout(PATIENCE, client.read(&mut [0]))
            .await
            .unwrap()
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn a_subscription_is_in_force_when_the_response_is_there_and_topics_named_twice_count_once() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let mut client = serve(&hub, chat(&["cats", "cats", "dogs"]));
    let head = open(&mut client, b"").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let cats = TopicName::new("cats").unwrap();
    assert_eq!(hub.publish(&cats, Message::text("are awesome")).await, 1);
    assert_eq!(read(&mut client, 13).await, *b"\x81\x0Bare awesome");
    client.write_all(&text("once")).await.unwrap();
    assert_eq!(read(&mut client, 6).await, *b"\x81\x04once");
    let draining = tokio::spawn(async move { hub.drain(PATIENCE).await });
    assert_eq!(
        read(&mut client, 24).await,
        *b"\x88\x16\x03\xF4server is restarting"
    );
    client.write_all(&frame(0x88, &[0x03, 0xF4])).await.unwrap();
    assert_eq!(draining.await.unwrap(), Ok(()), "all is finished in time");
}

#[tokio::test]
async fn a_hub_that_was_drained_takes_no_connections_any_more() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    hub.drain(PATIENCE).await.unwrap();
    let mut client = serve(&hub, Echo);
    let head = open(&mut client, b"").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
}

// A router knows the names that it is asked by; which page may use one is still looked at.
#[tokio::test]
async fn any_name_is_taken_and_a_page_must_be_of_that_or_of_the_public_url() {
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

#[tokio::test]
async fn an_empty_body_and_the_origin_of_an_allowed_application_are_taken() {
    let mut config = HubConfig::default();
    config.access.allowed_origins = vec!["capacitor://localhost".into()];
    let hub = Hub::start(&config).unwrap();
    for (headers, status) in [
        ("Content-Length: 0\r\n", 101),
        ("Origin: capacitor://localhost\r\n", 101),
        ("Content-Length: 1\r\n", 400),
        ("Origin: ionic://localhost\r\n", 403),
    ] {
        let mut client = serve(&hub, Echo);
        let head = ask(&mut client, handshake_with("/", headers).as_bytes()).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(head.starts_with(&expected), "{headers}{head}");
    }
}

#[test]
fn a_chat_without_topics_is_refused() {
    assert_eq!(Chat::new([]).unwrap_err(), InvalidTopics::None);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_101_is_given_up() {
    let mut config = HubConfig::default();
    config.timeouts.request = Duration::from_millis(100);
    let hub = Hub::start(&config).unwrap();
    // A pipe that can't hold the answer.
    let (mut client, server) = duplex(64);
    serve_on(server, &hub, chat(&["cats"]));
    client.write_all(handshake("/").as_bytes()).await.unwrap();
    let connections = || hub.metrics().connections;
    timeout(PATIENCE, async {
        while connections() == 0 {
            tokio::task::yield_now().await;
        }
        while connections() == 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("its handle is taken, and given up");
}

#[tokio::test]
async fn a_request_that_is_no_handshake_is_refused_and_is_no_connection() {
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
async fn ends_are_counted_by_their_reason() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let says_goodbye = &frame(0x88, b"\x03\xE8")[..];
    for last in [says_goodbye, says_goodbye, &frame(0x83, b"")[..]] {
        let mut client = serve(&hub, Echo);
        open(&mut client, last).await;
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

// It could not answer while nobody polls it, and nothing is wrong with that.
#[tokio::test]
async fn a_subscription_of_the_process_is_not_ended_for_its_silence_as_clients_are() {
    let mut config = HubConfig::default();
    config.timeouts.ping_after = Duration::from_millis(50);
    config.timeouts.pong_within = Duration::from_millis(50);
    config.timeouts.close = Duration::from_millis(50);
    let hub = Hub::start(&config).unwrap();
    let cats = TopicName::new("cats").unwrap();
    let mut subscription = hub.subscribe(&cats).await.unwrap();
    let mut silent = serve(&hub, Echo);
    open(&mut silent, b"").await;
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
