//! Tests of the client's reaction to answers to its opening handshake. The server is a socket to
//! which the tests write literal bytes.

use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{
    client::{Client, Exit, listen, request, within},
    literal::{key, switching_protocols},
};

/// Runs a client whose opening handshake is answered by `response`, and returns its exit.
async fn refused_with(response: &str) -> Exit {
    let (listener, url) = listen().await;
    let client = Client::connect(&[&url]);
    let (mut socket, _) = request(&listener).await;
    within("the answer", socket.write_all(response.as_bytes()))
        .await
        .unwrap();
    client.exit().await
}

#[tokio::test]
async fn a_refusal_ends_the_client_with_a_one_line_error() {
    let response = "HTTP/1.1 404 Not Found\r\ncontent-length: 14\r\n\r\nno such route\n";
    let exit = refused_with(response).await;
    let lines: Vec<&str> = exit.stderr.lines().collect();
    assert!(lines[0].starts_with("framecast: connecting to ws://"));
    let reason = "framecast: the server answered 404 Not Found: no such route";
    assert_eq!(lines[1..], [reason]);
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn a_refusal_is_shown_although_its_body_comes_in_pieces() {
    let (listener, url) = listen().await;
    let client = Client::connect(&[&url]);
    let (mut socket, _) = request(&listener).await;
    for piece in [
        "HTTP/1.1 403 Forb",
        "idden\r\nTransfer-Encoding: chunked\r\nx-folded: a\r\n b\r\n\r",
        "\n4\r\nno s",
        "\r\n5\r\nuch\n.\r\n0\r\n\r\n",
    ] {
        within("a piece", socket.write_all(piece.as_bytes()))
            .await
            .unwrap();
        socket.flush().await.unwrap();
    }
    let exit = client.exit().await;
    let last = exit.stderr.lines().last();
    assert_eq!(
        last,
        Some("framecast: the server answered 403 Forbidden: no such")
    );
}

#[tokio::test]
async fn a_refusal_is_shown_although_its_body_never_ends() {
    let (listener, url) = listen().await;
    let client = Client::connect(&[&url]);
    let (mut socket, _) = request(&listener).await;
    // 4 of the 9 bytes of the body.
    let head = b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nhalf";
    within("the head", socket.write_all(head)).await.unwrap();
    let exit = client.exit().await;
    let last = exit.stderr.lines().last();
    assert_eq!(
        last,
        Some("framecast: the server answered 404 Not Found: half")
    );
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn a_connection_header_with_further_tokens_is_accepted() {
    for connection in [
        // The answer of Spring Boot.
        "Connection: upgrade, keep-alive\r\n",
        "connection: keep-alive\r\nconnection: UPGRADE\r\n",
    ] {
        let (listener, url) = listen().await;
        let mut client = Client::connect(&[&url]);
        let (mut socket, head) = request(&listener).await;
        let accept = derive_accept_key(key(&head).as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n{connection}\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        let answer = [answer.as_bytes(), b"\x81\x02hi"].concat();
        within("the answer", socket.write_all(&answer))
            .await
            .unwrap();
        assert_eq!(client.printed().await, "hi\n");
    }
}

#[tokio::test]
async fn a_101_without_connection_upgrade_is_refused() {
    let answer = "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: keep-alive\r\n\r\n";
    let exit = refused_with(answer).await;
    let last = exit.stderr.lines().last().unwrap();
    assert!(
        last.contains("its 101 lacks `connection: upgrade`"),
        "{last}"
    );
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn a_101_for_another_key_is_refused() {
    // The accept value of the key in RFC 6455 §1.3. The client sends a random key.
    let exit = refused_with(&switching_protocols("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "")).await;
    assert!(
        exit.stderr.contains("wrong Sec-WebSocket-Accept"),
        "{}",
        exit.stderr
    );
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn a_response_that_is_not_http_ends_the_client_with_a_one_line_error() {
    let exit = refused_with("SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    // The first line says where the client connects to.
    assert_eq!(exit.stderr.lines().count(), 2, "{}", exit.stderr);
    assert!(exit.stderr.contains("did not answer as a WebSocket server"));
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn a_redirection_is_refused_with_its_target() {
    let response = "HTTP/1.1 301 Moved Permanently\r\nLocation: https://app.example/ws\r\n\
                    Content-Length: 6\r\n\r\n<html>";
    let exit = refused_with(response).await;
    let reason =
        "the server answered 301 Moved Permanently: it redirects to https://app.example/ws";
    let last = exit.stderr.lines().last().unwrap();
    assert_eq!(last, format!("framecast: {reason}"));
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn interim_responses_before_the_101_are_skipped() {
    let (listener, url) = listen().await;
    let mut client = Client::connect(&[&url]);
    let (mut socket, head) = request(&listener).await;
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let upgrade = switching_protocols(&derive_accept_key(key(&head).as_bytes()), "");
    let answer = [early.as_bytes(), upgrade.as_bytes(), b"\x81\x02hi"].concat();
    within("the answer", socket.write_all(&answer))
        .await
        .unwrap();
    assert_eq!(client.printed().await, "hi\n");
}

#[tokio::test]
async fn a_101_may_arrive_byte_by_byte() {
    let (listener, url) = listen().await;
    let mut client = Client::connect(&[&url]);
    let (mut socket, head) = request(&listener).await;
    socket.set_nodelay(true).unwrap();
    let upgrade = switching_protocols(&derive_accept_key(key(&head).as_bytes()), "");
    for byte in [upgrade.as_bytes(), b"\x81\x02hi"].concat() {
        within("a byte", socket.write_all(&[byte])).await.unwrap();
    }
    assert_eq!(client.printed().await, "hi\n");
}
