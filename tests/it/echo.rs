//! `/echo` returns messages and `/echo/raw` fragments: in order, and in few writes.

use framecast_test_support::{
    TestServer,
    frames::{
        binary, close, empty_close, first_binary, first_text, last, masked, middle, ping, pong,
        text,
    },
    limits::MESSAGE_BYTES,
};

/// Size in bytes of the parts in which the server passes a large frame to fastwebsockets.
const PART_BYTES: usize = 8 * 1024;

/// Returns `len` bytes of text.
fn letters(len: usize) -> Vec<u8> {
    (b'a'..b'w').cycle().take(len).collect()
}

#[test]
fn a_message_of_any_length_is_returned_unchanged() {
    let server = TestServer::start();
    for path in ["/echo", "/echo/raw"] {
        let mut client = server.connect(path);
        for len in [0, 1, 125, 126, 127, 1000, 16_384, 65_535, MESSAGE_BYTES] {
            for message in [text(letters(len)), binary(letters(len))] {
                client.sends(message.clone());
                client.receives(message);
            }
        }
        client.close();
    }
}

#[test]
fn the_raw_echo_returns_each_fragment_at_once() {
    let server = TestServer::start();
    let mut client = server.connect("/echo/raw");
    for (sent, received) in [
        (first_text("one"), first_text("one")),
        (ping("?"), pong("?")),
        (middle("two"), middle("two")),
        (last("three"), last("three")),
        (first_binary(""), first_binary("")),
        (last(""), last("")),
        (text("whole"), text("whole")),
    ] {
        client.sends(sent);
        client.receives(received);
    }
    client.close();
}

#[test]
fn the_raw_echo_does_not_join_fragments_that_arrive_together() {
    let server = TestServer::start();
    let mut client = server.connect("/echo/raw");
    let fragments = [
        first_text(b"\xE2"),
        middle(b"\x82"),
        last(b"\xAC"),
        first_binary(b"\xE2"),
        last(b"\x82"),
    ];
    let mut sent = fragments.to_vec();
    sent.insert(2, ping("?"));
    client.sends_together(sent);
    let mut received: Vec<_> = (0..=fragments.len()).map(|_| client.read_frame()).collect();
    // The Pong may overtake fragments.
    received.retain(|frame| *frame != pong("?"));
    assert_eq!(received, fragments);
    client.close();
}

#[test]
fn the_raw_echo_returns_fragments_of_any_length_unchanged() {
    let server = TestServer::start();
    let mut client = server.connect("/echo/raw");
    for len in [
        0,
        1,
        PART_BYTES - 1,
        PART_BYTES,
        PART_BYTES + 1,
        2 * PART_BYTES,
        20_000,
    ] {
        let payload = letters(len);
        for fragment in [
            first_text(&payload),
            middle(&payload),
            last(&payload),
            first_binary(&payload),
            last(&payload),
        ] {
            client.sends(fragment.clone());
            client.receives(fragment);
        }
    }
    client.close();
}

#[test]
fn the_raw_echo_checks_that_text_is_utf_8_over_all_its_fragments() {
    let server = TestServer::start();
    let mut client = server.connect("/echo/raw");
    client.sends_together([first_text(b"ab\xE2\x82"), last("")]);
    client.receives(first_text(b"ab\xE2\x82"));
    client.receives(close(1007, "invalid UTF-8"));
    client.expect_end();
}

#[test]
fn pings_that_arrive_together_are_each_answered_in_order() {
    let server = TestServer::start();
    let mut client = server.connect("/echo");
    client.sends_together((0..32_u8).map(|number| ping([number])));
    client.receives_all((0..32_u8).map(|number| pong([number])));
    client.close();
}

#[test]
fn the_last_ping_of_a_flood_is_answered_and_no_ping_twice() {
    const PINGS: u32 = 10_000;
    let server = TestServer::start();
    let mut client = server.connect("/echo");
    client.sends_together((0..PINGS).map(|number| ping(number.to_be_bytes())));
    client.sends(empty_close());
    let mut answered = Vec::new();
    let end = loop {
        match client.read_frame() {
            (0x8A, number) => {
                answered.push(u32::from_be_bytes(number.try_into().unwrap()));
            }
            other => break other,
        }
    };
    assert_eq!(end, empty_close());
    assert!(answered.is_sorted_by(|a, b| a < b), "{answered:?}");
    assert_eq!(answered.last(), Some(&(PINGS - 1)));
}

#[test]
fn pipelined_messages_are_returned_in_order_and_in_few_writes() {
    const MESSAGES: u64 = 1000;
    let server = TestServer::start();
    let mut client = server.connect("/echo");
    let writes = || server.health()["writes"].as_u64().unwrap();
    let before = writes();
    let numbers = || (0..MESSAGES).map(|number| text(number.to_string()));
    client.sends_together(numbers());
    client.receives_all(numbers());
    let written = writes() - before;
    assert!(
        written <= MESSAGES / 10,
        "{written} writes for {MESSAGES} messages"
    );
    client.close();
}

#[test]
fn a_raised_limit_allows_messages_of_16_mib() {
    const SIZE: usize = 16 * 1024 * 1024;
    let server = TestServer::with(|config| config.hub.limits.message_bytes = SIZE);
    let payload: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
    let mut client = server.connect("/echo");
    client.sends(binary(&payload));
    client.receives(binary(&payload));
    let (start, rest) = payload.split_at(SIZE / 3);
    client.sends_together([first_binary(start), last(rest)]);
    client.receives(binary(&payload));
    client.sends(text(letters(SIZE)));
    client.receives(text(letters(SIZE)));
    // The header (2 bytes, 8 of length, 4 of key) is enough for the server to refuse the message.
    client.send(&masked([binary(vec![0; SIZE + 1])])[..14]);
    client.receives(close(1009, "message too big"));
    client.expect_end();
    let mut raw = server.connect("/echo/raw");
    raw.sends(binary(&payload));
    raw.receives(binary(&payload));
    raw.close();
}
