//! Tests of `connect --echo`: the client sends every message back to the server.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    client::within,
    literal::{connected_with, masked_frame},
};

#[tokio::test]
async fn every_message_is_sent_back_unchanged_and_in_order_and_an_orderly_close_is_a_success() {
    // A text, a binary message, an empty text, and a euro sign in two fragments with a Ping between
    // them.
    let wire = b"\x81\x02hi\x82\x02\xCA\xFE\x81\x00\x01\x01\xE2\x89\x01?\x80\x02\x82\xAC";
    let (client, mut socket) = connected_with(&["--echo"], "", wire).await;
    let mut received = Vec::new();
    for _ in 0..5 {
        received.push(masked_frame(&mut socket).await);
    }
    // The first byte and the payload of each frame: FIN with Text, Binary, or Pong. The Pong comes
    // before the text whose fragments the Ping was between.
    let answers: [(u8, &[u8]); 5] = [
        (0x81, b"hi"),
        (0x82, b"\xCA\xFE"),
        (0x81, b""),
        (0x8A, b"?"),
        (0x81, "€".as_bytes()),
    ];
    let answers = answers.map(|(first, payload)| (first, payload.to_vec()));
    assert_eq!(received, answers);

    // A Close with code 1000, to which the client replies.
    within("a Close", socket.write_all(b"\x88\x02\x03\xE8"))
        .await
        .unwrap();
    assert_eq!(masked_frame(&mut socket).await, (0x88, vec![0x03, 0xE8]));
    let exit = client.exit().await;
    assert_eq!(exit.stdout, "");
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
}

#[tokio::test]
async fn a_message_before_a_protocol_error_is_sent_back_before_the_close() {
    // A text, and then one with a reserved bit (RSV1), as no compression was agreed on.
    let (client, mut socket) = connected_with(&["--echo"], "", b"\x81\x02hi\xc1\x02hi").await;
    assert_eq!(masked_frame(&mut socket).await, (0x81, b"hi".to_vec()));
    let close = (0x88, 1002_u16.to_be_bytes().to_vec());
    assert_eq!(masked_frame(&mut socket).await, close);
    // A protocol error is no orderly close.
    assert_eq!(client.exit().await.status.code(), Some(1));
}

#[tokio::test]
async fn compressed_messages_are_sent_back_compressed_if_that_makes_them_smaller() {
    let agreed = "sec-websocket-extensions: permessage-deflate; server_no_context_takeover\r\n";
    // "Hello", compressed as in RFC 7692 §7.2.3.1. The client sends it back uncompressed, as it is
    // too short.
    let hello = b"\xC1\x07\xF2\x48\xCD\xC9\xC9\x07\x00";
    // 100 times "a": the first one, and a back-reference to it with a length of 99 bytes.
    let many = b"\xC2\x05\x4A\xA4\x3D\x00\x00";
    let wire = [&hello[..], many].concat();
    let (_client, mut socket) = connected_with(&["--echo", "--deflate"], agreed, &wire).await;
    assert_eq!(masked_frame(&mut socket).await, (0x81, b"Hello".to_vec()));
    let (first, payload) = masked_frame(&mut socket).await;
    // FIN, RSV1 (compressed) and Binary.
    assert_eq!(first, 0xC2);
    assert!(payload.len() < 10, "{payload:02X?}");
}

#[tokio::test]
async fn the_end_of_the_connection_without_an_orderly_close_is_a_failure() {
    // A Close with code 1011, a text that is not UTF-8, and the end of the socket without a Close.
    let ends: [(&[u8], &str); 3] = [
        (b"\x88\x02\x03\xF3", "code 1011"),
        (b"\x81\x01\xFF", "invalid UTF-8"),
        (b"", "connection lost"),
    ];
    for (wire, reason) in ends {
        let (client, mut socket) = connected_with(&["--echo"], "", wire).await;
        if wire.is_empty() {
            drop(socket);
        } else {
            // The client sends a Close, and then ends the connection.
            assert_eq!(masked_frame(&mut socket).await.0, 0x88);
            let mut rest = Vec::new();
            let _ = within("the end", socket.read_to_end(&mut rest)).await;
        }
        let exit = client.exit().await;
        assert!(exit.stderr.contains(reason), "{reason}: {}", exit.stderr);
        assert_eq!(exit.status.code(), Some(1), "{reason}");
    }
}
