//! Tests of the options: headers of the handshake, the form of messages, and when the client leaves.

use futures_util::SinkExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::{Client, listen, request, within},
    literal::{connected_with, masked_frame},
    peer::{Peer, accept, closed_with, received},
};

/// Starts a client with `options`, and accepts its connection.
async fn connected(options: &[&str]) -> (Client, Peer) {
    let (listener, url) = listen().await;
    let client = Client::connect(&[&[url.as_str()], options].concat());
    (client, accept(&listener).await)
}

#[tokio::test]
async fn options_for_single_headers_are_in_the_handshake() {
    let (listener, url) = listen().await;
    let options = [
        "-H",
        "X-Mine: a",
        "--origin",
        "https://app.example",
        "--bearer",
        "to.ken",
        "--subprotocol",
        "v2.chat",
        "--subprotocol",
        "chat",
    ];
    let _client = Client::connect(&[&[url.as_str()], &options[..]].concat());
    let (_, head) = request(&listener).await;
    let head = head.to_ascii_lowercase();
    for header in [
        "x-mine: a",
        "origin: https://app.example",
        "authorization: bearer to.ken",
        "sec-websocket-protocol: v2.chat, chat",
    ] {
        assert!(head.contains(&format!("\r\n{header}\r\n")), "{head}");
    }
}

#[tokio::test]
async fn a_subprotocol_of_the_option_may_be_chosen() {
    let chosen = "Sec-WebSocket-Protocol: chat\r\n";
    let options = ["--subprotocol", "v2.chat", "--subprotocol", "chat"];
    let (mut client, _socket) = connected_with(&options, chosen, b"\x81\x02hi").await;
    assert_eq!(client.printed().await, "hi\n");
}

#[tokio::test]
async fn texts_of_the_command_line_are_sent_as_they_are_and_the_answers_awaited() {
    // Standard input stays open: it is not read.
    let (client, mut peer) = connected(&["-x", "/ping", "-x", "-5"]).await;
    assert_eq!(received(&mut peer).await, Message::text("/ping"));
    assert_eq!(received(&mut peer).await, Message::text("-5"));
    peer.send(Message::text("answer")).await.unwrap();
    assert_eq!(closed_with(&mut peer).await.0, 1000);
    let exit = client.exit().await;
    assert_eq!(exit.stdout, "answer\n");
    assert_eq!(exit.status.code(), Some(0));
}

#[tokio::test]
async fn the_client_leaves_after_the_counted_messages_and_prints_no_more() {
    let (client, mut peer) = connected(&["--count", "2"]).await;
    for text in ["a", "b", "c"] {
        peer.feed(Message::text(text)).await.unwrap();
    }
    peer.flush().await.unwrap();
    // The input has not ended.
    assert_eq!(closed_with(&mut peer).await.0, 1000);
    let exit = client.exit().await;
    assert_eq!(exit.stdout, "a\nb\n");
    assert_eq!(exit.status.code(), Some(0));
}

#[tokio::test]
async fn fewer_messages_than_counted_are_a_failure() {
    let options = ["-x", "hi", "--count", "2", "--wait", "50ms"];
    let (client, mut peer) = connected(&options).await;
    assert_eq!(received(&mut peer).await, Message::text("hi"));
    peer.send(Message::text("only")).await.unwrap();
    assert_eq!(closed_with(&mut peer).await.0, 1000);
    let exit = client.exit().await;
    assert_eq!(exit.stdout, "only\n");
    let last = exit.stderr.lines().last();
    assert_eq!(last, Some("framecast: only 1 of 2 messages arrived"));
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn without_a_wait_the_client_closes_at_once_after_its_lines_are_written() {
    let (mut client, mut peer) = connected(&["--wait", "0s"]).await;
    client.type_in("last\n").await;
    client.end_input();
    assert_eq!(received(&mut peer).await, Message::text("last"));
    assert_eq!(closed_with(&mut peer).await.0, 1000);
    assert_eq!(client.exit().await.status.code(), Some(0));
}

#[tokio::test]
async fn lines_are_binary_messages_in_the_encoding_and_binary_messages_are_printed_in_it() {
    for (encoding, line, printed) in [
        ("hex", "CA fe 00", "cafe00ff\n"),
        ("base64", "yv4A", "yv4A/w==\n"),
    ] {
        let (mut client, mut socket) = connected_with(&["--binary", encoding], "", b"").await;
        client.type_in(&format!("{line}\n")).await;
        // FIN and Binary.
        let frame = (0x82, vec![0xCA, 0xFE, 0]);
        assert_eq!(masked_frame(&mut socket).await, frame);
        let answer = b"\x82\x04\xCA\xFE\x00\xFF";
        within("the answer", socket.write_all(answer))
            .await
            .unwrap();
        assert_eq!(client.printed().await, printed);
    }
}

#[tokio::test]
async fn a_line_that_is_not_in_the_encoding_ends_a_pipe_with_an_error() {
    let (mut client, mut peer) = connected(&["--binary", "hex"]).await;
    client.type_in("00\nmeow\nff\n").await;
    assert_eq!(received(&mut peer).await, Message::binary(vec![0]));
    assert_eq!(closed_with(&mut peer).await.0, 1000);
    let exit = client.exit().await;
    let reason = "line 2 of the input is not hexadecimal; from this line on nothing was sent";
    let last = exit.stderr.lines().last();
    assert_eq!(last, Some(&*format!("framecast: {reason}")));
    assert_eq!(exit.status.code(), Some(1));
}

// The messages that `--count` waits for may be the answers to lines that were not sent.
#[tokio::test]
async fn an_input_that_cannot_be_sent_ends_the_wait_for_counted_messages() {
    let (mut client, mut peer) = connected(&["--count", "1"]).await;
    client.type_in_bytes(b"\xff\n").await;
    assert_eq!(closed_with(&mut peer).await.0, 1000);
    let exit = client.exit().await;
    let reason = "line 1 of the input is not UTF-8; from this line on nothing was sent";
    let last = exit.stderr.lines().last();
    assert_eq!(last, Some(&*format!("framecast: {reason}")));
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn raw_messages_are_their_bytes() {
    let options = ["--raw", "--count", "2"];
    let wire = b"\x81\x04a\n\x1bb\x82\x03\x00\xC3\xBF\x81\x01c";
    let (mut client, mut socket) = connected_with(&options, "", wire).await;
    assert_eq!(client.printed().await, "a\n");
    let close = (0x88, 1000_u16.to_be_bytes().to_vec());
    assert_eq!(masked_frame(&mut socket).await, close);
    drop(socket);
    // A line feed after the text, and none after the binary message.
    assert_eq!(client.exit().await.stdout, "\x1bb\n\0\u{ff}");
}

#[tokio::test]
async fn json_is_indented_and_other_messages_are_lines() {
    let (mut client, mut peer) = connected(&["--json"]).await;
    peer.send(Message::text(r#"{"b":1.0,"a":[]}"#))
        .await
        .unwrap();
    peer.send(Message::text("{hello")).await.unwrap();
    for line in ["{", "  \"b\": 1.0,", "  \"a\": []", "}", "{hello"] {
        assert_eq!(client.printed().await, format!("{line}\n"));
    }
}

#[tokio::test]
async fn a_timestamp_is_the_time_in_utc() {
    let (mut client, mut peer) = connected(&["--timestamps"]).await;
    peer.send(Message::text("hi")).await.unwrap();
    let line = client.printed().await;
    let (time, rest) = line.split_once(' ').unwrap();
    assert_eq!(rest, "hi\n");
    // Such as 2026-01-02T03:04:05.678Z.
    let form: String = time
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(form, "0000-00-00T00:00:00.000Z");
}

#[tokio::test]
async fn a_quiet_client_writes_only_errors() {
    let (mut client, mut peer) = connected(&["--quiet"]).await;
    client.end_input();
    assert_eq!(closed_with(&mut peer).await.0, 1000);
    assert_eq!(client.exit().await.stderr, "");

    let (listener, url) = listen().await;
    let client = Client::connect(&[&url, "--quiet"]);
    let (mut socket, _) = request(&listener).await;
    let answer = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
    within("the answer", socket.write_all(answer))
        .await
        .unwrap();
    let mut rest = Vec::new();
    within("the end", socket.read_to_end(&mut rest))
        .await
        .unwrap();
    let exit = client.exit().await;
    assert_eq!(
        exit.stderr,
        "framecast: the server answered 403 Forbidden\n"
    );
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn options_that_are_wrong_are_refused_before_the_client_connects() {
    for (options, reason) in [
        (&["--bearer", "a b"][..], "--bearer: a token is"),
        (&["--origin", "a\nb"], "--origin: not a value for a header"),
        (&["--subprotocol", "a,b"], "--subprotocol: `a,b` is not"),
        (&["--binary", "hex", "-x", "meow"], "-x: `meow` is not"),
        (&["--binary", "octal"], "[possible values: hex, base64]"),
        (&["--raw", "--json"], "cannot be used with"),
        (&["--count", "0"], "not a whole number from 1"),
        (&["--wait", "5"], "not a time such as"),
        (
            &["--heder", "a: b"],
            "; tip: a similar argument exists: '--header'",
        ),
    ] {
        // Nobody listens there.
        let arguments = [&["ws://127.0.0.1:1/"], options].concat();
        let exit = Client::connect(&arguments).exit().await;
        assert!(exit.stderr.contains(reason), "{}", exit.stderr);
        assert_eq!(exit.stderr.lines().count(), 1, "{}", exit.stderr);
        assert_eq!(exit.status.code(), Some(2), "{reason}");
    }
}
