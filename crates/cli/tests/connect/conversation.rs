//! Tests of the lines that the user types, the lines that the client prints, and its exit. The
//! server side is tungstenite.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{Bytes, Message, protocol::CloseFrame},
};

use crate::client::{Client, listen, within};

type Peer = WebSocketStream<TcpStream>;

/// Accepts a connection, and performs the opening handshake as its server.
async fn accept(listener: &TcpListener) -> Peer {
    let accepted = async {
        let (socket, _) = listener.accept().await.unwrap();
        accept_async(socket).await.unwrap()
    };
    within("a connection", accepted).await
}

/// Receives the next message or control frame from the client.
async fn received(peer: &mut Peer) -> Message {
    within("a message", peer.next()).await.unwrap().unwrap()
}

/// Waits for the client's Close, and completes the closing handshake. Returns the code and the
/// reason of the Close.
async fn closed_with(peer: &mut Peer) -> (u16, String) {
    let message = received(peer).await;
    let Message::Close(Some(CloseFrame { code, reason })) = message else {
        panic!("expected a Close frame with a code, not {message:?}");
    };
    while within("the end", peer.next())
        .await
        .is_some_and(|next| next.is_ok())
    {}
    (code.into(), reason.to_string())
}

/// Starts a client with `arguments`, and accepts its connection. Returns the client and the
/// server's end of the connection.
async fn connected(arguments: &[&str]) -> (Client, Peer) {
    let (listener, url) = listen().await;
    let mut all = vec![url.as_str()];
    all.extend(arguments);
    let mut client = Client::connect(&all);
    let peer = accept(&listener).await;
    client.noticed("connected").await;
    (client, peer)
}

#[tokio::test]
async fn a_pipe_sends_its_lines_prints_the_answers_and_closes() {
    let (mut client, mut peer) = connected(&[]).await;
    client.type_in("hi\nthere").await;
    client.end_input();

    assert_eq!(received(&mut peer).await, Message::text("hi"));
    assert_eq!(received(&mut peer).await, Message::text("there"));
    peer.send(Message::text("hello")).await.unwrap();
    peer.send(Message::text("you")).await.unwrap();
    // The client closes half a second after the last message.
    assert_eq!(closed_with(&mut peer).await, (1000, String::new()));

    let exit = client.exit().await;
    assert_eq!(exit.stdout, "hello\nyou\n");
    assert!(
        exit.stderr.ends_with("framecast: closed\n"),
        "{}",
        exit.stderr
    );
    assert_eq!(exit.status.code(), Some(0));
}

#[tokio::test]
async fn a_close_by_the_server_after_the_end_of_the_input_is_a_success() {
    let (mut client, mut peer) = connected(&[]).await;
    client.type_in("last\n").await;
    client.end_input();
    assert_eq!(received(&mut peer).await, Message::text("last"));
    peer.close(None).await.unwrap();

    let exit = client.exit().await;
    assert!(!exit.stderr.contains("reconnecting"), "{}", exit.stderr);
    assert_eq!(exit.status.code(), Some(0));
}

#[tokio::test]
async fn every_message_is_printed_as_one_line_that_cannot_control_the_terminal() {
    let (mut client, mut peer) = connected(&[]).await;
    let binary = Message::binary(Bytes::from_static(&[0xca, 0xfe]));
    peer.send(Message::text("a\tb\r\nc\u{1b}[2J\u{9b}K"))
        .await
        .unwrap();
    peer.send(binary).await.unwrap();
    peer.send(Message::text("")).await.unwrap();

    let escaped = "a\tb\\r\\nc\\u{1b}[2J\\u{9b}K\n";
    assert_eq!(client.printed().await, escaped);
    assert_eq!(client.printed().await, "<binary 2 bytes> cafe\n");
    assert_eq!(client.printed().await, "\n");
}

#[tokio::test]
async fn a_ping_reports_its_round_trip_on_standard_error() {
    let (mut client, mut peer) = connected(&[]).await;
    client.type_in("/ping are you there\n/close\n").await;
    assert_eq!(
        received(&mut peer).await,
        Message::Ping("are you there".into())
    );
    assert_eq!(closed_with(&mut peer).await.0, 1000);

    let report = client.noticed("pong are you there in ").await;
    assert!(report.ends_with(" ms\n"), "{report}");
    assert_eq!(client.exit().await.stdout, "");
}

#[tokio::test]
async fn close_sends_code_and_reason_and_exits() {
    let (mut client, mut peer) = connected(&[]).await;
    client.type_in("/close 4001 good bye\nnever sent\n").await;
    let expected = (4001, "good bye".to_owned());
    assert_eq!(closed_with(&mut peer).await, expected);
    assert_eq!(client.exit().await.status.code(), Some(0));
}

#[tokio::test]
async fn a_command_is_not_sent_as_a_message_and_a_wrong_one_is_explained() {
    let (mut client, mut peer) = connected(&[]).await;
    client
        .type_in("/help\n/nonsense\n/close 1006\n//slash\n")
        .await;
    assert_eq!(received(&mut peer).await, Message::text("/slash"));
    client.noticed("/ping [TEXT]").await;
    client.noticed("unknown command `/nonsense`").await;
    client.noticed("`1006` is not a close code").await;
}

#[tokio::test]
async fn a_line_that_is_too_long_for_a_frame_header_of_two_bytes_arrives_whole() {
    let (mut client, mut peer) = connected(&[]).await;
    for length in [125, 126, 65_535, 65_536] {
        let line = "x".repeat(length);
        client.type_in(&format!("{line}\n")).await;
        assert_eq!(received(&mut peer).await, Message::text(line));
    }
}

#[tokio::test]
async fn the_client_ends_without_an_error_when_nobody_reads_its_output() {
    let (mut client, mut peer) = connected(&[]).await;
    client.close_output();
    peer.send(Message::text("nobody reads this")).await.unwrap();
    // 1001: the client goes away.
    assert_eq!(closed_with(&mut peer).await.0, 1001);

    let exit = client.exit().await;
    assert_eq!(exit.stderr, "");
    assert_eq!(exit.status.code(), Some(0));
}

#[tokio::test]
async fn an_interrupt_closes_the_connection() {
    let (client, mut peer) = connected(&[]).await;
    client.interrupt();
    assert_eq!(closed_with(&mut peer).await.0, 1001);
    assert_eq!(client.exit().await.status.code(), Some(0));
}

#[tokio::test]
async fn a_second_interrupt_does_not_wait_for_the_server() {
    let (client, mut peer) = connected(&[]).await;
    client.interrupt();
    // Receives the Close without a reply: tungstenite would reply to it only in another call.
    assert!(received(&mut peer).await.is_close());
    client.interrupt();
    let exit = client.exit().await;
    assert_eq!(exit.stderr, "framecast: interrupted\n");
    assert_eq!(exit.status.code(), Some(1));
}
