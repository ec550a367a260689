//! Tests that the server compresses the messages that it should, and that no compressed message
//! refers back beyond the window that the client asked for.

use framecast_test_support::{
    Client, TestServer,
    deflate::{OFFER, compressed, inflated, noise},
    frames::{RSV1, binary, text},
    limits::{COMPRESSED_BYTES, MESSAGE_BYTES},
};

fn server() -> TestServer {
    TestServer::with(|config| config.hub.deflate.enabled = true)
}

fn connect(server: &TestServer, path: &str) -> Client {
    server.dial().upgrade_with(path, OFFER)
}

#[test]
fn a_large_message_is_returned_compressed_and_a_small_one_as_it_is() {
    let server = server();
    for path in ["/echo", "/echo/raw", "/ws"] {
        let mut client = connect(&server, path);
        for len in [
            0,
            1,
            COMPRESSED_BYTES - 1,
            COMPRESSED_BYTES,
            COMPRESSED_BYTES + 1,
            125,
            126,
            1000,
            MESSAGE_BYTES - 1,
            MESSAGE_BYTES,
        ] {
            let payload: Vec<u8> = b"topic cats, ".iter().copied().cycle().take(len).collect();
            for message in [text(&payload), binary(&payload)] {
                // The form in which the client sends a message does not change the answer.
                client.sends_together([message.clone(), compressed(message.clone())]);
                for _ in 0..2 {
                    let answer = client.read_frame();
                    let is_compressed = answer.0 & RSV1 != 0;
                    assert_eq!(is_compressed, len >= COMPRESSED_BYTES, "{path} {len}");
                    assert!(!is_compressed || answer.1.len() < len, "{path} {len}");
                    assert!(inflated(answer) == message, "{path} {len}");
                }
            }
        }
        client.close();
    }
}

#[test]
fn a_message_that_deflate_does_not_make_smaller_is_returned_as_it_is() {
    let server = server();
    for path in ["/echo", "/echo/raw", "/ws"] {
        let mut client = connect(&server, path);
        for len in [COMPRESSED_BYTES, 1000, MESSAGE_BYTES] {
            client.sends(binary(noise(len)));
            client.receives(binary(noise(len)));
        }
        client.close();
    }
}

#[test]
fn min_bytes_is_the_size_of_the_smallest_message_that_is_compressed() {
    const BYTES: usize = 20;
    for (min_bytes, is_compressed) in [(0, true), (BYTES, true), (BYTES + 1, false)] {
        let server = TestServer::with(|config| {
            config.hub.deflate.enabled = true;
            config.hub.deflate.min_bytes = min_bytes;
        });
        let mut client = connect(&server, "/echo");
        client.sends(text("x".repeat(BYTES)));
        let (first, _) = client.read_frame();
        assert_eq!(first & RSV1 != 0, is_compressed, "{min_bytes}");
        client.close();
    }
}

#[test]
fn compressed_messages_refer_back_within_the_window_that_the_client_asks_for() {
    let server = server();
    // Twice the same noise gets smaller only if its second half refers back to the first. The
    // distances are three quarters of each window size, and the whole of it.
    let distances = (8..=15).flat_map(|bits| [3 << (bits - 2), 1 << bits]);
    let payloads: Vec<(usize, Vec<u8>)> =
        distances.map(|len| (len, noise(len).repeat(2))).collect();
    for bits in 8..=15_u8 {
        let offer = format!(
            "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits={bits}\r\n"
        );
        let mut client = server.dial().upgrade_with("/echo", &offer);
        let mut furthest = 0;
        for (distance, payload) in &payloads {
            client.sends(binary(payload));
            let answer = client.read_frame();
            if answer.0 & RSV1 != 0 {
                furthest = *distance;
            }
            assert!(inflated(answer) == binary(payload), "{bits}");
        }
        let window = 1 << bits;
        // zlib has no window of 8 bits, and does not refer back over the whole of a larger one.
        let least = if bits > 8 { window / 4 } else { 0 };
        assert!((least..=window).contains(&furthest), "{bits}: {furthest}");
        client.close();
    }
}
