//! One message to clients that take it in different forms.

use std::thread;

use framecast_test_support::{
    Client, TestServer,
    deflate::{Inflater, OFFER, deflated, noise},
    frame, text,
};

const WINDOW_9: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n";
const FORGETFUL: &str =
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n";

/// The forms: none, the largest window, a small one.
const FORMS: [&str; 3] = ["", OFFER, WINDOW_9];

fn server(contexts: usize) -> TestServer {
    TestServer::with(|config| {
        config.hub.shards = 3.try_into().unwrap();
        config.hub.deflate.enabled = true;
        config.hub.deflate.contexts = contexts;
    })
}

type Frame = (u8, Vec<u8>);

/// A subscriber, and how it understands what it gets.
struct Listener {
    client: Client,
    inflater: Inflater,
}

impl Listener {
    fn new(server: &TestServer, headers: &str) -> Self {
        Self {
            client: server.dial().upgrade_with("/ws", headers),
            inflater: Inflater::default(),
        }
    }

    /// The next messages: as they came, and what they say.
    fn hear(&mut self, count: usize) -> (Vec<Frame>, Vec<Frame>) {
        let hear = |_| {
            let frame = self.client.read_frame();
            (frame.clone(), self.inflater.open(frame))
        };
        (0..count).map(hear).unzip()
    }
}

/// A message that says who has sent it, and which of its messages it is: small ones, large ones,
/// and such as can't be compressed.
fn message(who: usize, number: usize) -> Vec<u8> {
    let mut message = format!("{who} {number}: ").into_bytes();
    match number % 4 {
        0 => {}
        1 => message.extend(br#"{"topic":"cats"},"#.repeat(number)),
        2 => message.extend(noise(number * 7)),
        _ => message.extend(noise(300).repeat(2)),
    }
    message
}

#[test]
fn subscribers_hear_the_same_in_the_same_order_in_whatever_form_they_take_it() {
    const MESSAGES: usize = 60;
    let server = server(2);
    // The first two that may have a context of their own.
    let own = [OFFER, WINDOW_9].map(|offer| Listener::new(&server, offer));
    let mut listeners: Vec<Listener> = own.into();
    for _ in 0..2 {
        let shared = FORMS.map(|offer| Listener::new(&server, offer));
        listeners.extend(shared);
    }
    let publishers = FORMS.map(|offer| server.dial().upgrade_with("/ws", offer));
    let total = publishers.len() * MESSAGES;
    let heard: Vec<_> = thread::scope(|scope| {
        for (who, mut publisher) in publishers.into_iter().enumerate() {
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    let message = message(who, number);
                    let is_compressed = who > 0 && number % 3 > 0;
                    publisher.send(&if is_compressed {
                        frame(0xC2, &deflated(&message))
                    } else {
                        frame(0x82, &message)
                    });
                }
                // It is a subscriber, too.
                (0..total).for_each(|_| drop(publisher.read_frame()));
                publisher.close();
            });
        }
        let hearing: Vec<_> = listeners
            .iter_mut()
            .map(|listener| scope.spawn(|| listener.hear(total)))
            .collect();
        let heard = hearing.into_iter().map(|thread| thread.join().unwrap());
        heard.collect()
    });
    let (wires, said): (Vec<_>, Vec<_>) = heard.into_iter().unzip();
    for other in &said[1..] {
        assert!(*other == said[0], "two subscribers heard something else");
    }
    for who in 0..FORMS.len() {
        let prefix = format!("{who} ");
        let by_who = said[0]
            .iter()
            .filter(|(_, m)| m.starts_with(prefix.as_bytes()));
        assert!(
            by_who.eq(&(0..MESSAGES)
                .map(|n| (0x82, message(who, n)))
                .collect::<Vec<_>>())
        );
    }
    // Those with the same window got the same bytes.
    let [off, largest, small] = [2, 3, 4].map(|first| &wires[first]);
    assert!([off, largest, small] == [5, 6, 7].map(|second| &wires[second]));
    assert!(off != largest && largest != small);
    let sizes = [off, largest, small].map(|frames| frames.iter().map(|(_, p)| p.len()).sum());
    let [off, largest, small]: [usize; 3] = sizes;
    assert!(largest < small && small < off, "{largest} {small} {off}");
}

#[test]
fn what_is_published_over_http_and_to_a_user_is_compressed_too() {
    let server = server(0);
    let path = server.register(r#"{"user_id":7,"topics":["t"]}"#);
    let mut relays = [""; 2].map(|_| server.register(r#"{"user_id":7,"topics":["t"]}"#));
    relays[0] = path;
    let [mut one, mut other] = relays.map(|path| server.dial().upgrade_with(&path, OFFER));
    let message = "meow ".repeat(100);
    for body in [
        serde_json::json!({"topic": "t", "message": message}),
        serde_json::json!({"topic": "t", "message": message, "user_id": 7}),
    ] {
        server.post("/publish", &body.to_string());
        let frame = one.read_frame();
        assert_eq!(frame.0, 0xC1);
        assert_eq!(other.read_frame(), frame);
        let said = Inflater::default().open(frame);
        assert_eq!(said, (0x81, message.clone().into_bytes()));
    }
}

#[test]
fn with_a_context_of_its_own_a_message_costs_less_when_it_comes_again() {
    let server = server(1);
    let mut own = Listener::new(&server, OFFER);
    let mut shared = Listener::new(&server, OFFER);
    let mut publisher = server.connect("/ws");
    let news = |number: usize| {
        format!(
            r#"{{"topic":"cats","offset":{number},"data":"{:x?}"}}"#,
            noise(40)
        )
    };
    for number in 0..5 {
        publisher.send(&text(&news(number)));
    }
    let (own, said) = own.hear(5);
    assert!(
        said == (0..5)
            .map(|n| (0x81, news(n).into_bytes()))
            .collect::<Vec<_>>()
    );
    assert!(said == shared.hear(5).1);
    let sizes: Vec<usize> = own.iter().map(|(_, payload)| payload.len()).collect();
    assert!(own.iter().all(|(first, _)| *first == 0xC1));
    assert!(
        sizes[1..].iter().all(|size| size * 4 < sizes[0]),
        "{sizes:?}"
    );
}

#[test]
fn a_context_is_left_for_those_who_want_one() {
    let server = server(1);
    let mut forgetful = Listener::new(&server, FORGETFUL);
    let mut own = Listener::new(&server, OFFER);
    let message = text(&"cats and dogs, ".repeat(9));
    own.client.send(&message.repeat(2));
    let sizes = |listener: &mut Listener| {
        let (wire, _) = listener.hear(2);
        [wire[0].1.len(), wire[1].1.len()]
    };
    let [first, second] = sizes(&mut own);
    assert!(second < first);
    let [first, second] = sizes(&mut forgetful);
    assert_eq!(second, first);
}
