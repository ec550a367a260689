//! Tests of the lines that a pipe sends, the lines that the client prints, and its exit. The server
//! side is tungstenite. [`crate::typing`] has the tests at a terminal.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::{
    client::{Client, listen},
    peer::{Peer, accept, closed_with, received},
};

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

// `echo /etc/passwd | framecast connect` sent nothing, and "unknown command" was its only trace.
#[tokio::test]
async fn a_pipe_has_no_commands() {
    let (mut client, mut peer) = connected(&[]).await;
    let lines = ["/etc/passwd", "/close", "/ping", "//twice", "/"];
    client.type_in(&(lines.join("\n") + "\n")).await;
    for line in lines {
        assert_eq!(received(&mut peer).await, Message::text(line));
    }
    client.end_input();
    assert_eq!(closed_with(&mut peer).await.0, 1000);
    assert_eq!(client.exit().await.status.code(), Some(0));
}

// Such a line was left out, with a notice and exit status 0.
#[tokio::test]
async fn a_line_of_a_pipe_that_cannot_be_sent_ends_the_input_with_an_error() {
    let (mut client, mut peer) = connected(&[]).await;
    client.type_in_bytes(b"first\nsec\xffond\nthird\n").await;
    assert_eq!(received(&mut peer).await, Message::text("first"));
    // The answers to what was sent are still printed.
    peer.send(Message::text("hello")).await.unwrap();
    assert_eq!(closed_with(&mut peer).await.0, 1000);

    let exit = client.exit().await;
    let last = exit.stderr.lines().last();
    let reason = "framecast: line 2 of the input is not UTF-8; from this line on nothing was sent";
    assert_eq!(last, Some(reason));
    assert_eq!(exit.stdout, "hello\n");
    assert_eq!(exit.status.code(), Some(1));
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

// The client closed the connection after half a second, and lost what was still in the socket.
#[tokio::test]
async fn the_time_in_which_standard_output_takes_nothing_is_no_silence() {
    let (mut client, mut peer) = connected(&["--wait", "200ms"]).await;
    // More than the pipe of standard output and the queue before it have room for.
    let text = "x".repeat(4096);
    for _ in 0..150 {
        peer.feed(Message::text(text.as_str())).await.unwrap();
    }
    peer.flush().await.unwrap();
    client.end_input();
    // Nothing comes in a time that is far longer than the wait.
    let close = tokio::time::timeout(Duration::from_secs(1), peer.next());
    assert!(close.await.is_err());
    for _ in 0..150 {
        assert_eq!(client.printed().await, format!("{text}\n"));
    }
    assert_eq!(closed_with(&mut peer).await.0, 1000);
    assert_eq!(client.exit().await.status.code(), Some(0));
}
