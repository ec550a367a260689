//! Compares the server's parsers of JSON from clients with a plain JSON parser, serde_json's
//! [`Value`]. The server's parsers are those of messages to the relay, and of the bodies of `POST
//! /register` and `POST /publish`, lists included. JSON that the server accepts must mean the same
//! to both. JSON that the server refuses must be answered with a well-formed error.
#![no_main]

use std::collections::HashSet;

use framecast::{TopicName, internals};
use framecast_fuzz::{response, server_frame::ServerFrame};
use framecast_wire::frame::Kind;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    check_register(data);
    check_publish(data);
    check_array(data);
    check_lines(data);
    if let Ok(text) = str::from_utf8(data) {
        check_message(Kind::Text, text);
        check_message(Kind::Binary, text);
    }
});

/// Checks what the relay does with `text` as a message of this kind, text or binary.
fn check_message(kind: Kind, text: &str) {
    match internals::relay(kind, text.as_bytes()) {
        Ok(topics) => {
            assert_eq!(kind, Kind::Text);
            check_topics(&topics, &parsed(text.as_bytes())["topics"]);
            // The reply lists the topics in force. As a message, it would itself ask for these
            // topics.
            let answer = payload(internals::topics_in_force(&topics).as_bytes());
            assert!(!answer.contains(&b'\n'));
            assert_eq!(internals::relay(Kind::Text, &answer), Ok(topics));
        }
        Err(answer) => match payload(answer.as_bytes()) {
            pong if pong == b"pong" => assert_eq!((kind, text), (Kind::Text, "ping")),
            error_line => response::check_error_line(&error_line),
        },
    }
}

/// Checks the server's parser of the body of a `POST /register`.
fn check_register(body: &[u8]) {
    match internals::register_request(body) {
        Ok((user, topics)) => {
            let body = parsed(body);
            check_user(&user, &body["user_id"]);
            match &body["topics"] {
                // The default topic.
                Value::Null => {
                    assert_eq!(topics, [TopicName::new("cats").expect("a valid name")]);
                }
                named => check_topics(&topics, named),
            }
        }
        Err(rejection) => response::check_rejection(rejection),
    }
}

/// Checks the server's parser of the body of a `POST /publish`.
fn check_publish(body: &[u8]) {
    const LIMIT_BYTES: usize = 200;
    match internals::publish_request(body, LIMIT_BYTES) {
        Ok((topics, message, user)) => {
            let body = parsed(body);
            match &body["topic"] {
                Value::Null => check_topics(&topics, &body["topics"]),
                topic => {
                    assert_eq!(topics.len(), 1);
                    response::check_topic(topics[0].as_str());
                    assert_eq!(topics[0].as_str(), topic);
                    assert_eq!(body.get("topics"), None);
                }
            }
            assert!(!topics.is_empty());
            assert!(message.payload().len() <= LIMIT_BYTES);
            match message.as_text() {
                Some(text) => assert_eq!(body["message"], text),
                None => check_base64(message.payload(), &body["base64"]),
            }
            assert_eq!(body.get("message").is_some(), body.get("base64").is_none());
            match user {
                Some(user) => check_user(&user, &body["user_id"]),
                None => assert_eq!(body.get("user_id"), None),
            }
        }
        Err(rejection) => response::check_rejection(rejection),
    }
}

/// Checks that a valid JSON array is divided into its elements.
fn check_array(body: &[u8]) {
    let found = internals::array_items(body);
    let Ok(elements) = serde_json::from_slice::<Vec<Value>>(body) else {
        if let Err(rejection) = found {
            response::check_rejection(rejection);
        }
        return;
    };
    match found {
        Ok(found) => {
            let found = found
                .into_iter()
                .map(|item| serde_json::from_slice(&body[item]));
            let found: Vec<Value> = found.map(|item| item.expect("an element")).collect();
            assert_eq!(found, elements);
        }
        Err(rejection) => {
            assert!(elements.len() > 1_000);
            response::check_rejection(rejection);
        }
    }
}

/// Checks that the items of lines are the lines that are not blank.
fn check_lines(body: &[u8]) {
    let is_space = |byte: &u8| b" \t\r".contains(byte);
    let lines = body.split(|&byte| byte == b'\n');
    let lines: Vec<&[u8]> = lines
        .filter_map(|line| {
            let first = line.iter().position(|byte| !is_space(byte))?;
            let last = line.iter().rposition(|byte| !is_space(byte))?;
            Some(&line[first..=last])
        })
        .collect();
    match internals::line_items(body) {
        Ok(found) => {
            let found: Vec<&[u8]> = found.into_iter().map(|item| &body[item]).collect();
            assert_eq!(found, lines);
        }
        Err(rejection) => {
            assert!(lines.len() > 1_000);
            response::check_rejection(rejection);
        }
    }
}

/// Checks that `payload` is what the base64 in `value` stands for.
fn check_base64(payload: &[u8], value: &Value) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for group in payload.chunks(3) {
        let bits = group.iter().enumerate();
        let bits = bits.fold(0_u32, |bits, (at, &byte)| {
            bits | u32::from(byte) << (16 - 8 * at)
        });
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            encoded.push(if at <= group.len() { digit.into() } else { '=' });
        }
    }
    assert_eq!(*value, encoded);
}

/// Parses JSON with serde_json, after the server has accepted it. The JSON must be an object.
fn parsed(json: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(json).expect("the server accepts only JSON");
    assert!(value.is_object());
    value
}

/// Returns the payload of `wire`, which must be a single text frame.
fn payload(mut wire: &[u8]) -> Vec<u8> {
    let frame = ServerFrame::take(&mut wire);
    assert!(frame.first == 0x81 && wire.is_empty());
    frame.payload
}

/// Checks that `user` is the user that the JSON names by `value`: a string, or a number.
fn check_user(user: &str, value: &Value) {
    match value {
        Value::String(name) => {
            assert_eq!(user, name);
            assert!((1..=255).contains(&name.len()));
        }
        Value::Number(number) => assert_eq!(user, number.to_string()),
        other => panic!("{user} from {other}"),
    }
}

/// Checks that `topics` are the names in the list `named`, in the same order, each once.
fn check_topics(topics: &[TopicName], named: &Value) {
    let mut seen = HashSet::new();
    let named = named.as_array().expect("a list").iter();
    let named: Vec<&str> = named
        .map(|name| name.as_str().expect("a name"))
        .filter(|name| seen.insert(*name))
        .collect();
    assert_eq!(
        topics.iter().map(TopicName::as_str).collect::<Vec<_>>(),
        named
    );
    assert!(named.len() <= 128);
    named.into_iter().for_each(response::check_topic);
}
