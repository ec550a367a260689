//! Messages published to several subscribers, of which some receive them plain and others
//! compressed, with different window sizes.

use std::thread;

use framecast_test_support::{
    Client, TestServer,
    deflate::{Inflater, OFFER, compressed, inflated, noise},
    frames::{Frame, RSV1, binary, text},
};

/// Offer of a window of 9 bits, which is small.
const WINDOW_9: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n";

/// Offer with which the server keeps no compression context for the client.
const NO_CONTEXT: &str =
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n";

/// Headers of a client for each form: plain, with the largest window, with a small window.
const FORMS: [&str; 3] = ["", OFFER, WINDOW_9];

/// Number of messages that each publisher sends.
const MESSAGES: usize = 60;

/// Starts a server that keeps compression contexts for at most `contexts` clients.
fn server(contexts: usize) -> TestServer {
    TestServer::with(|config| {
        config.hub.shards = 3.try_into().unwrap();
        config.hub.deflate.enabled = true;
        config.hub.deflate.contexts = contexts;
    })
}

/// A subscriber that inflates what it receives.
struct Subscriber {
    client: Client,
    inflater: Inflater,
}

impl Subscriber {
    fn new(server: &TestServer, headers: &str) -> Self {
        Self {
            client: server.dial().upgrade_with("/ws", headers),
            inflater: Inflater::default(),
        }
    }

    /// Reads `count` messages. Returns their frames twice: as the server sent them, and inflated.
    fn receive(&mut self, count: usize) -> (Vec<Frame>, Vec<Frame>) {
        let receive = |_| {
            let frame = self.client.read_frame();
            (frame.clone(), self.inflater.inflate(frame))
        };
        (0..count).map(receive).unzip()
    }
}

/// Returns a message that begins with its publisher and its number. It is small, large, noise, or
/// twice the same noise.
fn message(publisher: usize, number: usize) -> Frame {
    let mut payload = format!("{publisher} {number}: ").into_bytes();
    match number % 4 {
        0 => {}
        1 => payload.extend(br#"{"topic":"cats"},"#.repeat(number)),
        2 => payload.extend(noise(number * 7)),
        _ => payload.extend(noise(300).repeat(2)),
    }
    binary(payload)
}

#[test]
fn all_subscribers_receive_the_same_order_plain_or_compressed() {
    let server = server(2);
    // The first two subscribers get the server's two contexts. Each form has two more subscribers,
    // for which the server encodes a message once.
    let own = [OFFER, WINDOW_9].map(|offer| Subscriber::new(&server, offer));
    let mut subscribers: Vec<Subscriber> = own.into();
    for _ in 0..2 {
        let shared = FORMS.map(|offer| Subscriber::new(&server, offer));
        subscribers.extend(shared);
    }
    let publishers = FORMS.map(|offer| server.dial().upgrade_with("/ws", offer));
    let total = publishers.len() * MESSAGES;
    let received: Vec<_> = thread::scope(|scope| {
        for (number, publisher) in publishers.into_iter().enumerate() {
            scope.spawn(move || publish(publisher, number, total));
        }
        let receiving: Vec<_> = subscribers
            .iter_mut()
            .map(|subscriber| scope.spawn(|| subscriber.receive(total)))
            .collect();
        let received = receiving.into_iter().map(|thread| thread.join().unwrap());
        received.collect()
    });
    let (wires, messages): (Vec<_>, Vec<_>) = received.into_iter().unzip();
    for other in &messages[1..] {
        assert!(
            *other == messages[0],
            "two subscribers received other messages"
        );
    }
    for publisher in 0..FORMS.len() {
        let prefix = format!("{publisher} ");
        let is_own = |(_, payload): &&Frame| payload.starts_with(prefix.as_bytes());
        let own: Vec<Frame> = messages[0].iter().filter(is_own).cloned().collect();
        let expected: Vec<Frame> = (0..MESSAGES).map(|n| message(publisher, n)).collect();
        assert!(own == expected, "publisher {publisher}");
    }
    check_encodings(&wires);
}

/// Sends messages, compressed or not, and reads all that is published: a publisher is a subscriber,
/// too.
fn publish(mut client: Client, publisher: usize, total: usize) {
    for number in 0..MESSAGES {
        let message = message(publisher, number);
        // Publisher 0 has not offered compression.
        let is_compressed = publisher > 0 && number % 3 > 0;
        client.sends(if is_compressed {
            compressed(message)
        } else {
            message
        });
    }
    (0..total).for_each(|_| drop(client.read_frame()));
    client.close();
}

/// Asserts that subscribers with the same window received the same bytes, and that a larger window
/// makes messages smaller.
fn check_encodings(wires: &[Vec<Frame>]) {
    // Subscribers 0 and 1 have contexts. Those after them are two for each of `FORMS`.
    let forms = [2, 3, 4].map(|first| &wires[first]);
    assert!(forms == [5, 6, 7].map(|second| &wires[second]));
    let [plain, largest, small] = forms;
    assert!(plain != largest && largest != small);
    let sizes = forms.map(|frames| frames.iter().map(|(_, payload)| payload.len()).sum());
    let [plain, largest, small]: [usize; 3] = sizes;
    assert!(
        largest < small && small < plain,
        "{largest} {small} {plain}"
    );
}

#[test]
fn messages_over_http_and_to_a_user_are_compressed_too() {
    let server = server(0);
    let [mut one, mut other] = [(); 2].map(|()| {
        let path = server.register(r#"{"user_id":7,"topics":["t"]}"#);
        server.dial().upgrade_with(&path, OFFER)
    });
    let message = "meow ".repeat(100);
    for body in [
        serde_json::json!({"topic": "t", "message": message}),
        serde_json::json!({"topic": "t", "message": message, "user_id": 7}),
    ] {
        server.post("/publish", &body.to_string());
        let frame = one.read_frame();
        assert_ne!(frame.0 & RSV1, 0);
        other.receives(frame.clone());
        assert_eq!(inflated(frame), text(&message));
    }
}

#[test]
fn a_context_makes_a_message_smaller_when_it_is_published_again() {
    let server = server(1);
    let mut own = Subscriber::new(&server, OFFER);
    let mut shared = Subscriber::new(&server, OFFER);
    let mut publisher = server.connect("/ws");
    let data = noise(40);
    let news = (0..5).map(|number| {
        let news = format!(r#"{{"topic":"cats","offset":{number},"data":"{data:x?}"}}"#);
        text(news)
    });
    let news: Vec<Frame> = news.collect();
    for message in &news {
        publisher.sends(message.clone());
    }
    let (wire, received) = own.receive(news.len());
    assert_eq!(received, news);
    assert_eq!(shared.receive(news.len()).1, news);
    let sizes: Vec<usize> = wire.iter().map(|(_, payload)| payload.len()).collect();
    assert!(wire.iter().all(|(first, _)| first & RSV1 != 0));
    assert!(
        sizes[1..].iter().all(|size| size * 4 < sizes[0]),
        "{sizes:?}"
    );
}

#[test]
fn a_client_that_declines_a_context_leaves_it_to_another_one() {
    let server = server(1);
    let mut declining = Subscriber::new(&server, NO_CONTEXT);
    let mut own = Subscriber::new(&server, OFFER);
    let message = text("cats and dogs, ".repeat(9));
    own.client.sends_together([message.clone(), message]);
    let sizes = |subscriber: &mut Subscriber| {
        let (wire, _) = subscriber.receive(2);
        [wire[0].1.len(), wire[1].1.len()]
    };
    let [first, second] = sizes(&mut own);
    assert!(second < first);
    let [first, second] = sizes(&mut declining);
    assert_eq!(second, first);
}
