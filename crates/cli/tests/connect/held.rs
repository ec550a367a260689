//! Tests at a terminal that takes no output, or with an editor that takes no message: neither delays
//! the end, and no message is lost.

use futures_util::SinkExt as _;
use rustix::process::Signal;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    peer::{Peer, close_for_good, closed_with, received},
    terminal::Terminal,
    typing::connected,
};

/// Keys after which the editor takes no message: a search in the history, and the begin of a paste.
const HOLDS: [(&str, &str); 2] = [
    ("\x12", "(reverse-i-search)`':"),
    ("half\x1b[200~a", "> half"),
];

/// Returns a client whose editor takes no message.
async fn held(keys: &str, shown: &str) -> (Terminal, Peer) {
    let (mut terminal, mut peer) = connected(&[]).await;
    // A search needs an earlier line.
    terminal.types("first\r");
    assert_eq!(received(&mut peer).await, Message::text("first"));
    terminal.types(keys);
    terminal.shows_text(shown);
    (terminal, peer)
}

/// Returns true if the messages 0 to `count` are on the screen, in order, each once.
fn shows_all(rows: &[String], count: usize) -> bool {
    let messages = rows.iter().filter(|row| row.starts_with("< message "));
    messages.eq(&(0..count)
        .map(|number| format!("< message {number}"))
        .collect::<Vec<_>>())
}

#[tokio::test]
async fn the_last_close_ends_a_client_whose_editor_is_held_and_every_message_is_shown() {
    for (keys, shown) in HOLDS {
        // None in the channel of the editor, one, one that waits for it, and many.
        for count in [0, 1, 2, 50] {
            let (mut terminal, mut peer) = held(keys, shown).await;
            for number in 0..count {
                let message = format!("message {number}");
                peer.feed(Message::text(message)).await.unwrap();
            }
            close_for_good(&mut peer).await;
            assert_eq!(terminal.exit().code(), Some(1));
            terminal.shows_text("framecast: closed by the server with code 4500 (bye)");
            terminal.shows("each message once, in order", |rows| shows_all(rows, count));
            assert!(terminal.is_in_its_usual_mode());
        }
    }
}

#[tokio::test]
async fn a_signal_ends_a_client_whose_editor_is_held() {
    for (keys, shown) in HOLDS {
        let (mut terminal, mut peer) = held(keys, shown).await;
        for number in 0..3 {
            let message = format!("message {number}");
            peer.send(Message::text(message)).await.unwrap();
        }
        terminal.kill(Signal::TERM);
        assert_eq!(closed_with(&mut peer).await.0, 1001);
        assert_eq!(terminal.exit().code(), Some(0));
        terminal.shows("each message once, in order", |rows| shows_all(rows, 3));
        assert!(terminal.is_in_its_usual_mode());
    }
}

// The socket is not read then, and so neither is the reply to the Close.
#[tokio::test]
async fn a_signal_ends_a_client_that_has_no_room_for_messages() {
    let (mut terminal, mut peer) = held("\x12", "(reverse-i-search)`':").await;
    // Longer than a batch, so that each of them is printed alone.
    let text = "x".repeat(70_000);
    for _ in 0..72 {
        peer.send(Message::text(text.as_str())).await.unwrap();
    }
    terminal.kill(Signal::TERM);
    assert_eq!(closed_with(&mut peer).await.0, 1001);
    assert_eq!(terminal.exit().code(), Some(0));
    assert!(terminal.is_in_its_usual_mode());
}

#[tokio::test]
async fn messages_come_after_a_search() {
    let (mut terminal, mut peer) = held("\x12", "(reverse-i-search)`':").await;
    for number in 0..10 {
        let message = format!("message {number}");
        peer.send(Message::text(message)).await.unwrap();
    }
    // Ctrl-G.
    terminal.types("\x07");
    terminal.shows("each message once, in order", |rows| shows_all(rows, 10));
    terminal.types("second\r");
    assert_eq!(received(&mut peer).await, Message::text("second"));
}

#[tokio::test]
async fn a_second_signal_ends_a_client_whose_terminal_takes_no_output() {
    let (mut terminal, mut peer) = connected(&[]).await;
    terminal.stops_output();
    // More than the kernel keeps.
    peer.send(Message::text("x".repeat(1 << 20))).await.unwrap();
    terminal.kill(Signal::TERM);
    assert_eq!(closed_with(&mut peer).await.0, 1001);
    terminal.kill(Signal::TERM);
    assert_eq!(terminal.exit().code(), Some(1));
    assert!(terminal.is_in_its_usual_mode());
}

#[tokio::test]
async fn a_window_of_another_size_keeps_the_line_and_shows_messages() {
    let (mut terminal, mut peer) = connected(&[]).await;
    terminal.types("half");
    terminal.shows_line("> half", 6);
    for columns in [40, 4, 80] {
        terminal.resizes(columns);
        peer.send(Message::text(format!("at {columns}")))
            .await
            .unwrap();
        terminal.shows_text(&format!("< at {columns}"));
    }
    terminal.types(" a line\r");
    assert_eq!(received(&mut peer).await, Message::text("half a line"));
}
