//! Tests of `--deflate`: the offer, the check of the server's answer, and compressed messages (RFC
//! 7692).

use std::{
    io::BufRead as _,
    process::{Child, Command, Stdio},
};

use framecast_test_support::{
    deflate::{self, deflated},
    frames::unmasked,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{
    client::{Client, listen, request, within},
    literal::{connected_with, expect_refusal, masked_frame},
};

/// The header line of a 101 by which the server accepts the offer.
const AGREED: &str = "sec-websocket-extensions: permessage-deflate; server_no_context_takeover\r\n";

/// Returns a connected client that compresses, and the server's end of its socket. The server has
/// sent the bytes `first` together with the 101.
async fn connected(first: &[u8]) -> (Client, TcpStream) {
    connected_with(&["--deflate"], AGREED, first).await
}

/// Inflates the payload of a compressed text message from the client.
fn inflated(payload: &[u8]) -> String {
    let (_, message) = deflate::inflated((0xC1, payload.to_vec()));
    String::from_utf8(message).unwrap()
}

#[tokio::test]
async fn the_offer_is_sent_with_the_option_only() {
    let offer = "sec-websocket-extensions: permessage-deflate; server_no_context_takeover; \
                 client_no_context_takeover; client_max_window_bits\r\n";
    for (options, is_offered) in [(&["--deflate"][..], true), (&[], false)] {
        let (listener, url) = listen().await;
        let _client = Client::connect(&[&[url.as_str()], options].concat());
        let (_, head) = request(&listener).await;
        let head = head.to_ascii_lowercase();
        assert_eq!(head.contains(offer), is_offered, "{head}");
        assert_eq!(head.contains("extensions"), is_offered, "{head}");
    }
}

#[tokio::test]
async fn large_lines_are_compressed_without_context_takeover_and_small_ones_are_not() {
    let (mut client, mut socket) = connected(b"").await;
    let line = "cats and dogs ".repeat(5000);
    client.type_in(&format!("{line}\nsmall\n{line}\n")).await;
    let (first, payload) = masked_frame(&mut socket).await;
    // FIN, RSV1 (compressed) and Text.
    assert_eq!(first, 0xC1);
    assert!(payload.len() < line.len() / 50);
    assert_eq!(inflated(&payload), line);
    // FIN and Text.
    assert_eq!(masked_frame(&mut socket).await, (0x81, b"small".to_vec()));
    // The same bytes as for the first line: no message refers to an earlier one.
    assert_eq!(masked_frame(&mut socket).await, (0xC1, payload));
}

#[tokio::test]
async fn a_line_is_compressed_within_the_window_that_the_server_asks_for() {
    let answer = AGREED.replace("\r\n", "; client_max_window_bits=8\r\n");
    let (mut client, mut socket) = connected_with(&["--deflate"], &answer, b"").await;
    // zlib has no window of 256 bytes, so only messages up to that size are compressed.
    // The first byte of a text is 0xC1 if it is compressed, and 0x81 if it is not.
    for (length, first) in [(256, 0xC1), (257, 0x81)] {
        client.type_in(&format!("{}\n", "x".repeat(length))).await;
        assert_eq!(masked_frame(&mut socket).await.0, first, "{length}");
    }
}

#[tokio::test]
async fn compressed_and_uncompressed_messages_are_printed_alike() {
    // "Hello", compressed as in RFC 7692 §7.2.3.1, and a message that is not compressed.
    let mut wire = b"\xC1\x07\xF2\x48\xCD\xC9\xC9\x07\x00\x81\x05plain".to_vec();
    // "Hello" in two fragments with a Ping between them, and an empty message.
    wire.extend(b"\x41\x03\xF2\x48\xCD\x89\x00\x80\x04\xC9\xC9\x07\x00\xC1\x01\x00");
    wire.extend(unmasked([(0xC2, deflated(&[0xCA, 0xFE]))]));
    let large = "large ".repeat(100_000);
    wire.extend(unmasked([(0xC1, deflated(large.as_bytes()))]));
    let (mut client, mut socket) = connected(&wire).await;
    for line in [
        "Hello",
        "plain",
        "Hello",
        "",
        "<binary 2 bytes> cafe",
        &large,
    ] {
        assert_eq!(client.printed().await, format!("{line}\n"));
    }
    // The Pong that answers the empty Ping.
    assert_eq!(masked_frame(&mut socket).await, (0x8A, vec![]));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_the_offer_is_refused() {
    // The answer of a server that compresses each message without the context of earlier ones, as
    // the offer demands.
    let forgets = "permessage-deflate; server_no_context_takeover";
    let answers = [
        ("permessage-deflate".to_owned(), "did not agree to forget"),
        ("x-webkit-deflate-frame".to_owned(), "was not offered"),
        (format!("{forgets}, x"), "was not offered"),
        (format!("{forgets}, {forgets}"), "was not offered"),
        (format!("{forgets}; unknown"), "invalid parameter"),
        (
            format!("{forgets}; client_max_window_bits=16"),
            "invalid parameter",
        ),
        (format!("{forgets};"), "malformed"),
    ];
    for (answer, reason) in answers {
        let headers = format!("sec-websocket-extensions: {answer}\r\n");
        let (client, _socket) = connected_with(&["--deflate"], &headers, b"").await;
        let exit = client.exit().await;
        assert!(exit.stderr.contains(reason), "{answer}: {}", exit.stderr);
        assert_eq!(exit.status.code(), Some(1), "{answer}");
    }
    let (client, _socket) = connected_with(&[], AGREED, b"").await;
    let exit = client.exit().await;
    assert!(exit.stderr.contains("accepted what was not offered"));
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn nothing_is_compressed_if_the_server_declines_the_offer() {
    let (mut client, mut socket) = connected_with(&["--deflate"], "", b"").await;
    let line = "x".repeat(1000);
    client.type_in(&format!("{line}\n")).await;
    assert_eq!(masked_frame(&mut socket).await, (0x81, line.into_bytes()));
    // "Hello", compressed: without an agreement RSV1 is a protocol error.
    let compressed = b"\xC1\x07\xF2\x48\xCD\xC9\xC9\x07\x00";
    within("a frame", socket.write_all(compressed))
        .await
        .unwrap();
    let close = (0x88, 1002_u16.to_be_bytes().to_vec());
    assert_eq!(masked_frame(&mut socket).await, close);
}

#[tokio::test]
async fn a_wrong_compressed_message_is_answered_by_its_close_code() {
    // Few bytes that inflate to one more than the limit.
    let bomb = unmasked([(0xC2, deflated(&vec![0; (16 << 20) + 1]))]);
    // The name of the mistake, the frames, and the close code.
    let messages: [(&str, &[u8], u16); 9] = [
        ("not deflate", b"\xC1\x04\xFF\xFF\xFF\xFF", 1007),
        ("cut inside of a block", b"\xC1\x04\xF2\x48\xCD\xC9", 1007),
        // The second message of the example in RFC 7692 §7.2.3.2, with context takeover.
        (
            "refers to an earlier message",
            b"\xC1\x05\xF2\x00\x11\x00\x00",
            1007,
        ),
        // A stored block with the byte FF.
        (
            "text that is not UTF-8",
            b"\xC1\x07\x00\x01\x00\xFE\xFF\xFF\x00",
            1007,
        ),
        ("a compressed Ping", b"\xC9\x00", 1002),
        (
            "RSV1 in a continuation",
            b"\x41\x03\xF2\x48\xCD\xC0\x04\xC9\xC9\x07\x00",
            1002,
        ),
        ("RSV2", b"\xE1\x01\x00", 1002),
        ("a masked frame", b"\xC1\x81\0\0\0\0\x00", 1002),
        ("over the limit of 16 MiB", &bomb, 1009),
    ];
    for (what, wire, code) in messages {
        expect_refusal(connected(wire).await, code, what).await;
    }
}

/// A running `framecast serve --deflate`. A drop kills it.
struct Server(Child);

impl Server {
    /// Starts the server. Returns it, and its address.
    fn start() -> (Self, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_framecast"))
            .args(["serve", "--listen", "127.0.0.1:0", "--deflate"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        std::io::BufReader::new(stdout)
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().rsplit('/').next().unwrap().to_owned();
        (Self(child), address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn compressed_messages_pass_between_our_client_and_our_server() {
    let (_server, address) = Server::start();
    for path in ["echo", "echo/raw", "ws"] {
        let url = format!("ws://{address}/{path}");
        let mut client = Client::connect(&[&url, "--deflate"]);
        client.noticed("connected").await;
        for line in [
            "small".to_owned(),
            "large ".repeat(10_000),
            "x".repeat(65_536),
        ] {
            client.type_in(&format!("{line}\n")).await;
            assert_eq!(client.printed().await, format!("{line}\n"), "{path}");
        }
        client.end_input();
        assert_eq!(client.exit().await.status.code(), Some(0), "{path}");
    }
}
