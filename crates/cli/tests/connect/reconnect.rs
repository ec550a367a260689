//! Tests of when the client reconnects after the end of a connection, and when it exits.

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::{
    accept_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::{
    client::{Client, listen, request, within},
    peer::accept,
};

#[tokio::test]
async fn lines_typed_while_disconnected_are_sent_in_order_after_reconnecting() {
    let (listener, url) = listen().await;
    let mut client = Client::connect(&[&url]);
    let accept = || async { within("a connection", listener.accept()).await.unwrap().0 };

    let mut peer = accept_async(accept().await).await.unwrap();
    client.type_in("1\n").await;
    let message = within("a message", peer.next()).await.unwrap().unwrap();
    assert_eq!(message, Message::text("1"));
    drop(peer);
    client.noticed("disconnected: connection lost").await;
    client.type_in("2\n3\n").await;

    // After a 503 the client tries again.
    client.noticed("reconnecting in ").await;
    let busy = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let (mut socket, _) = request(&listener).await;
    socket.write_all(busy).await.unwrap();
    client
        .noticed("the server answered 503 Service Unavailable")
        .await;
    client.noticed("(attempt 2)").await;

    let mut peer = accept_async(accept().await).await.unwrap();
    client.type_in("4\n").await;
    for line in ["2", "3", "4"] {
        let message = within("a message", peer.next()).await.unwrap().unwrap();
        assert_eq!(message, Message::text(line));
    }
}

// The client exited, although the conflict was only with its own dead connection.
#[tokio::test]
async fn after_a_409_with_retry_after_the_client_tries_again_after_that_time() {
    let (listener, url) = listen().await;
    let mut client = Client::connect(&[&url]);
    let conflict = b"HTTP/1.1 409 Conflict\r\nRetry-After: 1\r\ncontent-length: 0\r\n\r\n";
    // The client tries again even after its first attempt.
    let (mut socket, _) = request(&listener).await;
    socket.write_all(conflict).await.unwrap();
    client.noticed("the server answered 409 Conflict").await;
    let notice = client.noticed("reconnecting in ").await;
    let milliseconds = notice.split(' ').find_map(|word| word.parse::<u64>().ok());
    assert!(milliseconds >= Some(1000), "{notice}");

    let (socket, _) = within("a connection", listener.accept()).await.unwrap();
    let mut peer = accept_async(socket).await.unwrap();
    client.type_in("hi\n").await;
    let message = within("a message", peer.next()).await.unwrap().unwrap();
    assert_eq!(message, Message::text("hi"));
}

// RFC 9110 §10.2.3 allows a date, and a number of any length.
#[tokio::test]
async fn after_a_409_with_any_retry_after_the_client_tries_again() {
    let (listener, url) = listen().await;
    let mut client = Client::connect(&[&url]);
    let date = "Retry-After: Fri, 31 Dec 2027 23:59:59 GMT";
    let conflict = format!("HTTP/1.1 409 Conflict\r\n{date}\r\ncontent-length: 0\r\n\r\n");
    let (mut socket, _) = request(&listener).await;
    socket.write_all(conflict.as_bytes()).await.unwrap();
    client.noticed("the server answered 409 Conflict").await;

    let (mut socket, _) = request(&listener).await;
    let long = "HTTP/1.1 409 Conflict\r\nRetry-After: 99999999999999999999\r\n\r\n";
    socket.write_all(long.as_bytes()).await.unwrap();
    drop(socket);
    client.noticed("the server answered 409 Conflict").await;
    // At most 30 s of what the server asks for, and a random wait.
    let notice = client.noticed("reconnecting in 3").await;
    assert!(notice.ends_with("(attempt 2)\n"), "{notice}");
}

#[tokio::test]
async fn after_a_409_without_retry_after_the_client_exits() {
    let (listener, url) = listen().await;
    let client = Client::connect(&[&url]);
    let (mut socket, _) = request(&listener).await;
    let conflict = b"HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n";
    socket.write_all(conflict).await.unwrap();
    let exit = client.exit().await;
    assert!(!exit.stderr.contains("reconnecting"), "{}", exit.stderr);
    assert_eq!(exit.status.code(), Some(1));
}

// Two programs with one id would take it from each other for ever.
#[tokio::test]
async fn a_client_whose_connection_was_taken_over_exits() {
    let (listener, url) = listen().await;
    let client = Client::connect(&[&url]);
    let (socket, _) = within("a connection", listener.accept()).await.unwrap();
    let mut peer = accept_async(socket).await.unwrap();
    let close = CloseFrame {
        code: CloseCode::from(4506),
        reason: "taken over".into(),
    };
    peer.close(Some(close)).await.unwrap();
    let exit = client.exit().await;
    let last = exit.stderr.lines().last().unwrap();
    assert_eq!(
        last,
        "framecast: closed by the server with code 4506 (taken over)"
    );
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn a_line_that_was_not_written_whole_is_sent_first_after_reconnecting() {
    let (listener, url) = listen().await;
    let mut client = Client::connect(&[&url]);
    let (socket, _) = within("a connection", listener.accept()).await.unwrap();
    let peer = accept_async(socket).await.unwrap();
    // More than the buffers of both sockets take, so that the write blocks while the server does
    // not read.
    let long = "x".repeat(12 << 20);
    client.type_in(&format!("{long}\nnext\n")).await;
    drop(peer);

    let (socket, _) = within("a connection", listener.accept()).await.unwrap();
    let mut peer = accept_async(socket).await.unwrap();
    for line in [&long, "next"] {
        let message = within("a message", peer.next()).await.unwrap().unwrap();
        assert!(message == Message::text(line), "not the line that was lost");
    }
}

#[tokio::test]
async fn the_client_reconnects_after_a_close_without_a_code() {
    let (listener, url) = listen().await;
    let mut client = Client::connect(&[&url]);
    for _ in 0..2 {
        let (socket, _) = within("a connection", listener.accept()).await.unwrap();
        let mut peer = accept_async(socket).await.unwrap();
        peer.close(None).await.unwrap();
        client
            .noticed("disconnected: closed by the server without a code")
            .await;
    }
}

#[tokio::test]
async fn lines_of_an_input_that_ends_while_disconnected_are_still_sent() {
    let (listener, url) = listen().await;
    let mut client = Client::connect(&[&url]);
    let (socket, _) = within("a connection", listener.accept()).await.unwrap();
    drop(accept_async(socket).await.unwrap());
    client.noticed("disconnected: connection lost").await;
    client.type_in("still here\n").await;
    client.end_input();

    let (socket, _) = within("a connection", listener.accept()).await.unwrap();
    let mut peer = accept_async(socket).await.unwrap();
    let message = within("a message", peer.next()).await.unwrap().unwrap();
    assert_eq!(message, Message::text("still here"));
    // Completes the closing handshake, which the client begins at the end of its input.
    while within("the end", peer.next())
        .await
        .is_some_and(|next| next.is_ok())
    {}
    assert_eq!(client.exit().await.status.code(), Some(0));
}

#[tokio::test]
async fn the_client_exits_if_the_input_ends_while_disconnected_and_the_attempt_fails() {
    let (listener, url) = listen().await;
    let mut client = Client::connect(&[&url]);
    let (socket, _) = within("a connection", listener.accept()).await.unwrap();
    let peer = accept_async(socket).await.unwrap();
    // Without a listener, the attempt to reconnect will fail.
    drop(listener);
    drop(peer);
    client.noticed("disconnected: connection lost").await;
    client.end_input();
    let exit = client.exit().await;
    let last = exit.stderr.lines().last().unwrap();
    assert!(last.starts_with("framecast: cannot connect"), "{last}");
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn without_a_terminal_a_failed_first_attempt_ends_the_client() {
    let (listener, url) = listen().await;
    drop(listener);
    let exit = Client::connect(&[&url]).exit().await;
    let last = exit.stderr.lines().last().unwrap();
    assert!(
        last.starts_with("framecast: cannot connect: Connection refused"),
        "{last}"
    );
    assert!(!exit.stderr.contains("reconnecting"));
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn the_error_of_a_wrong_url_is_one_line() {
    for (url, reason) in [
        (
            "wss://localhost/",
            "wss:// (TLS) is not supported yet, use ws://",
        ),
        (
            "127.0.0.1:8080/ws",
            "the URL must start with ws://, write ws://127.0.0.1:8080/ws",
        ),
        (
            "http://localhost/",
            "the URL must start with ws://, not http://",
        ),
    ] {
        let exit = Client::connect(&[url]).exit().await;
        assert_eq!(exit.stderr, format!("framecast: {reason}\n"));
        assert_eq!(exit.status.code(), Some(2));
    }
}

#[tokio::test]
async fn a_header_that_the_handshake_has_anyway_is_a_wrong_command_line() {
    for name in [
        "Connection",
        "Sec-WebSocket-Extensions",
        "sec-websocket-key",
        "Sec-WebSocket-Version",
        "Upgrade",
    ] {
        let line = format!("{name}: x");
        // Nobody listens there.
        let arguments = ["ws://127.0.0.1:1/", "--header", &line];
        let exit = Client::connect(&arguments).exit().await;
        let reason = format!("`{name}` cannot be added");
        let line = format!("framecast: invalid value '{line}' for '--header <LINE>': {reason}\n");
        assert_eq!(exit.stderr, line);
        assert_eq!(exit.status.code(), Some(2));
    }
}

#[tokio::test]
async fn ctrl_c_before_the_texts_are_sent_or_without_any_connection_is_a_failure() {
    for (options, reason) in [
        (
            &["-x", "hello"][..],
            "interrupted before everything was sent",
        ),
        (&[], "interrupted before there was a connection"),
    ] {
        let (listener, url) = listen().await;
        let client = Client::connect(&[&[url.as_str()], options].concat());
        // The handshake gets no answer.
        let _request = request(&listener).await;
        client.interrupt();
        let exit = client.exit().await;
        let last = exit.stderr.lines().last();
        assert_eq!(last, Some(&*format!("framecast: {reason}")));
        assert_eq!(exit.status.code(), Some(1));
    }
}

#[tokio::test]
async fn ctrl_c_while_the_client_reconnects_with_nothing_to_send_is_as_intended() {
    let (listener, url) = listen().await;
    let client = Client::connect(&[&url]);
    drop(accept(&listener).await);
    let _request = request(&listener).await;
    client.interrupt();
    assert_eq!(client.exit().await.status.code(), Some(0));
}
