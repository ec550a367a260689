//! Tests at a terminal: the line editor, what is printed beside it, the commands, and the end.

use futures_util::SinkExt as _;
use rustix::process::Signal;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::listen,
    peer::{Peer, accept, close_for_good, closed_with, received},
    terminal::Terminal,
};

/// The prompt, as the screen shows it without a typed character.
const PROMPT: &str = ">";

/// Starts a client at a terminal, and accepts its connection. Returns when the client waits for a
/// line.
pub(crate) async fn connected(options: &[&str]) -> (Terminal, Peer) {
    let (listener, url) = listen().await;
    let terminal = Terminal::connect(&[&[url.as_str()], options].concat());
    let peer = accept(&listener).await;
    if !options.contains(&"--quiet") {
        terminal.shows_text("framecast: connected");
    }
    terminal.shows_line(PROMPT, 2);
    (terminal, peer)
}

#[tokio::test]
async fn arrow_keys_edit_the_line_and_bring_back_earlier_ones() {
    let (mut terminal, mut peer) = connected(&[]).await;
    // Twice to the left, and then a letter.
    terminal.types("helo\x1b[D\x1b[Dl\x1b[Hs");
    terminal.shows_line("> shello", 3);
    terminal.types("\x7f\r");
    assert_eq!(received(&mut peer).await, Message::text("hello"));
    terminal.types("second\r");
    assert_eq!(received(&mut peer).await, Message::text("second"));
    // Two lines up.
    terminal.types("\x1b[A\x1b[A");
    terminal.shows_line("> hello", 7);
    terminal.types("!\r");
    assert_eq!(received(&mut peer).await, Message::text("hello!"));
}

#[tokio::test]
async fn a_message_is_printed_above_the_line_that_is_typed() {
    let (mut terminal, mut peer) = connected(&[]).await;
    terminal.types("half a l");
    terminal.shows_line("> half a l", 10);
    peer.send(Message::text("incoming")).await.unwrap();
    terminal.shows("the message above the line", |rows| {
        rows.ends_with(&["< incoming".into(), "> half a l".into()])
    });
    terminal.types("ine\r");
    assert_eq!(received(&mut peer).await, Message::text("half a line"));
    terminal.shows("the line that was sent, and a prompt", |rows| {
        let sent = rows.iter().position(|row| row == "> half a line");
        sent.is_some_and(|sent| rows[sent + 1..].iter().any(|row| row == PROMPT))
    });
}

#[tokio::test]
async fn many_messages_stay_in_their_order_while_lines_are_sent() {
    let (mut terminal, mut peer) = connected(&[]).await;
    let count = 200;
    for number in 0..count {
        peer.send(Message::text(format!("message {number}")))
            .await
            .unwrap();
        if number % 4 == 0 {
            terminal.types(&format!("line {number}\r"));
        }
    }
    for number in (0..count).step_by(4) {
        let line = format!("line {number}");
        assert_eq!(received(&mut peer).await, Message::text(line));
    }
    terminal.shows_text(&format!("< message {}", count - 1));
    terminal.shows("each message once, in order", |rows| {
        let messages = rows.iter().filter(|row| row.starts_with("< message "));
        let expected = (0..count).map(|number| format!("< message {number}"));
        messages.eq(&expected.collect::<Vec<_>>())
    });
}

#[tokio::test]
async fn wide_characters_are_edited_as_one_and_keep_their_place() {
    let (mut terminal, mut peer) = connected(&[]).await;
    terminal.types("日本語x");
    terminal.shows_line("> 日本語x", 9);
    // Back over the x and one wide character, and one of them deleted.
    terminal.types("\x1b[D\x1b[D\x7f");
    terminal.shows_line("> 日語x", 4);
    peer.send(Message::text("猫")).await.unwrap();
    terminal.shows_text("< 猫");
    terminal.shows_line("> 日語x", 4);
    terminal.types("é\r");
    assert_eq!(received(&mut peer).await, Message::text("日é語x"));
}

// The kernel keeps 4,095 bytes of a line in its usual mode, and drops the rest without a word.
#[tokio::test]
async fn a_long_line_arrives_whole_whether_pasted_or_typed() {
    let (mut terminal, mut peer) = connected(&[]).await;
    let long = "0123456789".repeat(420);
    terminal.pastes(&long);
    terminal.types("\r");
    assert_eq!(received(&mut peer).await, Message::text(long.as_str()));
    terminal.types(&format!("{long}\r"));
    assert_eq!(received(&mut peer).await, Message::text(long));
}

#[tokio::test]
async fn lines_that_arrive_at_once_are_all_sent() {
    let (mut terminal, mut peer) = connected(&[]).await;
    let long = "x".repeat(5000);
    terminal.types(&format!("1\r2\r{long}\r\r4\r"));
    for line in ["1", "2", &long, "", "4"] {
        assert_eq!(received(&mut peer).await, Message::text(line));
    }
}

#[tokio::test]
async fn a_pasted_text_of_several_lines_is_one_message() {
    let (mut terminal, mut peer) = connected(&[]).await;
    terminal.pastes("{\r\n  \"a\": 1\r\n}\r\n");
    terminal.shows_text("\"a\": 1");
    terminal.types("\r");
    let pasted = "{\n  \"a\": 1\n}";
    assert_eq!(received(&mut peer).await, Message::text(pasted));
}

// The rest of the paste was read as keys: each line of it was sent, and `/close` obeyed.
#[tokio::test]
async fn of_a_paste_that_is_not_utf8_nothing_is_sent() {
    let (mut terminal, mut peer) = connected(&[]).await;
    let lines = b"caf\xe9\rASCII\r/close\r".repeat(300);
    terminal.types_bytes(&[b"\x1b[200~", &lines[..], b"\x1b[201~"].concat());
    terminal.shows_text("the line is not UTF-8, and was dropped with what came right behind");
    terminal.types("next\r");
    assert_eq!(received(&mut peer).await, Message::text("next"));
}

// A terminal that does not mark pastes sends a pasted tab as a key.
#[tokio::test]
async fn a_tab_is_a_character_like_others() {
    let (mut terminal, mut peer) = connected(&[]).await;
    terminal.types("a\t\tb\r");
    assert_eq!(received(&mut peer).await, Message::text("a\t\tb"));
}

#[tokio::test]
async fn a_ping_reports_its_round_trip() {
    let (mut terminal, mut peer) = connected(&[]).await;
    terminal.types("/ping are you there\r/close\r");
    let ping = Message::Ping("are you there".into());
    assert_eq!(received(&mut peer).await, ping);
    assert_eq!(closed_with(&mut peer).await.0, 1000);
    terminal.shows("the round trip", |rows| {
        let pong = "framecast: pong are you there in ";
        rows.iter()
            .any(|row| row.starts_with(pong) && row.ends_with(" ms"))
    });
    assert_eq!(terminal.exit().code(), Some(0));
}

#[tokio::test]
async fn close_sends_code_and_reason_and_exits() {
    let (mut terminal, mut peer) = connected(&[]).await;
    terminal.types("/close 4001 good bye\rnever sent\r");
    let expected = (4001, "good bye".to_owned());
    assert_eq!(closed_with(&mut peer).await, expected);
    assert_eq!(terminal.exit().code(), Some(0));
    assert!(terminal.is_in_its_usual_mode());
}

#[tokio::test]
async fn a_command_is_not_sent_as_a_message_and_a_wrong_one_is_explained() {
    let (mut terminal, mut peer) = connected(&["--quiet"]).await;
    terminal.types("/help\r/pign\r/close 1006\r//slash\r");
    assert_eq!(received(&mut peer).await, Message::text("/slash"));
    terminal.shows_text("/ping [TEXT]");
    terminal.shows_text("did you mean /ping?");
    terminal.shows_text("`1006` is not a close code");
}

#[tokio::test]
async fn a_line_that_cannot_be_sent_is_explained_and_the_next_one_is_sent() {
    let (mut terminal, mut peer) = connected(&["--binary", "hex"]).await;
    terminal.types_bytes(b"ca\xff");
    terminal.shows_text("the line is not UTF-8, and was dropped with what came right behind");
    terminal.types("meow\r");
    terminal.shows_text("the line is not hexadecimal; it was not sent");
    terminal.types("ca fe\r");
    let bytes = vec![0xCA, 0xFE];
    assert_eq!(received(&mut peer).await, Message::binary(bytes));
    terminal.types("/close\r");
    closed_with(&mut peer).await;
    assert_eq!(terminal.exit().code(), Some(0));
}

#[tokio::test]
async fn a_message_cannot_control_the_terminal() {
    for options in [&[][..], &["--raw"]] {
        let (terminal, mut peer) = connected(options).await;
        peer.send(Message::text("a\x1b[2J\r\nb")).await.unwrap();
        terminal.shows_text("< a\\u{1b}[2J\\r\\nb");
    }
}

#[tokio::test]
async fn ctrl_d_ends_the_input_and_ctrl_c_the_connection() {
    for (key, code) in [("\x04", 1000), ("\x03", 1001)] {
        let (mut terminal, mut peer) = connected(&[]).await;
        terminal.types(key);
        assert_eq!(closed_with(&mut peer).await.0, code);
        assert_eq!(terminal.exit().code(), Some(0), "{code}");
        assert!(terminal.is_in_its_usual_mode(), "{code}");
    }
}

#[tokio::test]
async fn a_second_ctrl_c_does_not_wait_for_the_server() {
    let (mut terminal, mut peer) = connected(&[]).await;
    terminal.types("half\x03");
    // Receives the Close without a reply: tungstenite would reply to it only in another call.
    assert!(received(&mut peer).await.is_close());
    // Between two lines Ctrl-C is a signal, which this terminal sends to nobody.
    terminal.shows_line(PROMPT, 2);
    terminal.types("\x03");
    assert_eq!(terminal.exit().code(), Some(1));
    terminal.shows_text("framecast: interrupted");
    assert!(terminal.is_in_its_usual_mode());
}

// Escape is the first byte of other keys. Without a limit the editor waits for the rest of the key.
#[tokio::test]
async fn an_escape_alone_holds_neither_messages_nor_ctrl_c() {
    let (mut terminal, mut peer) = connected(&[]).await;
    terminal.types("half\x1b");
    for text in ["one", "two", "three"] {
        peer.send(Message::text(text)).await.unwrap();
        terminal.shows_text(&format!("< {text}"));
    }
    terminal.types("\x03");
    assert_eq!(closed_with(&mut peer).await.0, 1001);
    assert_eq!(terminal.exit().code(), Some(0));
}

// rustyline sends the signal, and takes its mode again before another thread has stopped the process.
#[tokio::test]
async fn ctrl_z_gives_the_terminal_back_until_the_client_goes_on() {
    let (mut terminal, mut peer) = connected(&[]).await;
    for line in ["first", "second"] {
        terminal.types(line);
        terminal.shows_line(&format!("> {line}"), 2 + line.len());
        terminal.types("\x1a");
        terminal.stops();
        assert!(terminal.is_in_its_usual_mode());
        peer.send(Message::text(format!("to the {line}")))
            .await
            .unwrap();
        terminal.kill(Signal::CONT);
        terminal.shows_text(&format!("< to the {line}"));
        terminal.types("!\r");
        let sent = Message::text(format!("{line}!"));
        assert_eq!(received(&mut peer).await, sent);
    }
}

#[tokio::test]
async fn the_terminal_is_given_back_after_an_error_and_after_signals() {
    for signal in [
        None,
        Some(Signal::HUP),
        Some(Signal::INT),
        Some(Signal::QUIT),
        Some(Signal::TERM),
    ] {
        let (mut terminal, mut peer) = connected(&[]).await;
        terminal.types("half a line");
        terminal.shows_line("> half a line", 13);
        match signal {
            Some(signal) => {
                terminal.kill(signal);
                assert_eq!(closed_with(&mut peer).await.0, 1001);
                assert_eq!(terminal.exit().code(), Some(0), "{signal:?}");
            }
            None => {
                close_for_good(&mut peer).await;
                assert_eq!(terminal.exit().code(), Some(1));
                terminal.shows_text("framecast: closed by the server with code 4500 (bye)");
            }
        }
        assert!(terminal.is_in_its_usual_mode(), "{signal:?}");
    }
}

#[tokio::test]
async fn what_came_last_is_on_the_screen_at_the_end() {
    let (mut terminal, mut peer) = connected(&[]).await;
    for number in 0..100 {
        peer.feed(Message::text(format!("last {number}")))
            .await
            .unwrap();
    }
    peer.close(None).await.unwrap();
    // The client would reconnect. It is still at the end of its messages.
    terminal.shows_text("disconnected: closed by the server");
    terminal.types("\x03");
    assert_eq!(terminal.exit().code(), Some(0));
    terminal.shows("every message", |rows| {
        (0..100).all(|number| rows.contains(&format!("< last {number}")))
    });
}

#[tokio::test]
async fn lines_typed_while_disconnected_are_sent_after_reconnecting() {
    let (listener, url) = listen().await;
    let mut terminal = Terminal::connect(&[&url]);
    let peer = accept(&listener).await;
    terminal.shows_text("framecast: connected");
    drop(peer);
    terminal.shows_text("disconnected: connection lost");
    for line in 1..=5 {
        terminal.types(&format!("{line}\r"));
    }
    let mut peer = accept(&listener).await;
    for line in 1..=5 {
        assert_eq!(received(&mut peer).await, Message::text(line.to_string()));
    }
    // Lines about the connection do not land in the line that is typed, either.
    terminal.types("half");
    terminal.shows_line("> half", 6);
}

#[tokio::test]
async fn colours_are_for_terminals_that_want_them() {
    for (variables, is_coloured) in [
        (&[("TERM", "xterm")][..], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "")], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "1")], false),
        (&[("TERM", "dumb")], false),
    ] {
        let (listener, url) = listen().await;
        let terminal = Terminal::connect_with(&[&url], variables);
        let mut peer = accept(&listener).await;
        peer.send(Message::text("hi")).await.unwrap();
        terminal.shows_text("hi");
        let bytes = terminal.bytes();
        let has_colours = bytes.windows(3).any(|bytes| bytes == b"\x1b[3");
        assert_eq!(has_colours, is_coloured, "{variables:?}");
    }
}

#[tokio::test]
async fn a_terminal_without_a_line_editor_does_not_send_a_line_that_the_kernel_has_cut() {
    let (listener, url) = listen().await;
    let mut terminal = Terminal::connect_with(&[&url], &[("TERM", "dumb")]);
    let mut peer = accept(&listener).await;
    terminal.shows_text("framecast: connected");
    terminal.types(&("x".repeat(5000) + "\n"));
    terminal.shows_text("the line may be cut");
    terminal.types("/ping\nshort\n");
    assert_eq!(received(&mut peer).await, Message::Ping("".into()));
    assert_eq!(received(&mut peer).await, Message::text("short"));
}
