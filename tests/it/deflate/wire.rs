//! Which messages are compressed, and what they cost.

use framecast_test_support::{
    Client, TestServer,
    deflate::{OFFER, deflated, inflated, noise},
    frame, text,
};

fn server() -> TestServer {
    TestServer::with(|config| config.hub.deflate.enabled = true)
}

fn connect(server: &TestServer, path: &str) -> Client {
    server.dial().upgrade_with(path, OFFER)
}

#[test]
fn a_large_message_comes_back_compressed_and_a_small_one_as_it_is() {
    let server = server();
    for path in ["/echo", "/echo/raw", "/ws"] {
        let mut client = connect(&server, path);
        for first in [0x81, 0x82] {
            for len in [0, 1, 63, 64, 65, 125, 126, 1000, 65_535, 65_536] {
                let payload: Vec<u8> = b"topic cats, ".iter().copied().cycle().take(len).collect();
                // Sent in either form, which is nothing to the answer.
                let compressed = frame(first | 0x40, &deflated(&payload));
                client.send(&[frame(first, &payload), compressed].concat());
                for _ in 0..2 {
                    let answer = client.read_frame();
                    let is_compressed = answer.0 & 0x40 != 0;
                    assert_eq!(is_compressed, len >= 64, "{path} {len}");
                    assert!(!is_compressed || answer.1.len() < len, "{path} {len}");
                    assert!(inflated(answer) == (first, payload.clone()), "{path} {len}");
                }
            }
        }
        client.close();
    }
}

#[test]
fn what_does_not_get_smaller_comes_back_as_it_is() {
    let server = server();
    for path in ["/echo", "/echo/raw", "/ws"] {
        let mut client = connect(&server, path);
        for len in [64, 1000, 65_536] {
            let payload = noise(len);
            client.send(&frame(0x82, &payload));
            assert!(client.read_frame() == (0x82, payload), "{path} {len}");
        }
        client.close();
    }
}

#[test]
fn what_is_small_is_a_setting() {
    for (min_bytes, first) in [(0, 0xC1), (20, 0xC1), (21, 0x81)] {
        let server = TestServer::with(|config| {
            config.hub.deflate.enabled = true;
            config.hub.deflate.min_bytes = min_bytes;
        });
        let mut client = connect(&server, "/echo");
        client.send(&text(&"x".repeat(20)));
        assert_eq!(client.read_frame().0, first, "{min_bytes}");
        client.close();
    }
}

#[test]
fn no_message_refers_further_back_than_the_window_that_was_asked_for() {
    let server = server();
    // What has no pattern gets smaller only by a reference from its second half to its first.
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
            client.send(&frame(0x82, payload));
            let answer = client.read_frame();
            if answer.0 == 0xC2 {
                furthest = *distance;
            }
            assert!(inflated(answer) == (0x82, payload.clone()), "{bits}");
        }
        let window = 1 << bits;
        // zlib has no window of 8 bits, and refers not quite as far as it may.
        let least = if bits > 8 { window / 4 } else { 0 };
        assert!((least..=window).contains(&furthest), "{bits}: {furthest}");
        client.close();
    }
}
