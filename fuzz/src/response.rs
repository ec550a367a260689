//! Checks that every rejection, every error line and every topic name of the server must pass.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use framecast::Response;
use http_body_util::BodyExt;
use serde_json::Value;

/// Checks that a rejection has a status of 4xx, and one line of JSON that says what was wrong.
pub fn check_rejection(response: Response) {
    assert!(response.status().is_client_error(), "{response:?}");
    let mut body = pin!(response.into_body().collect());
    let Poll::Ready(Ok(body)) = body.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("the body is not ready");
    };
    let body = body.to_bytes();
    let line = body.strip_suffix(b"\n").expect("a line");
    check_error_line(line);
}

/// Checks that `line` is one line of JSON: an object with only an `error`.
pub fn check_error_line(line: &[u8]) {
    let line = str::from_utf8(line).expect("JSON is UTF-8");
    assert!(!line.contains(char::is_control), "{line:?}");
    let value: Value = serde_json::from_str(line).expect("JSON");
    let object = value.as_object().expect("an object");
    assert_eq!(object.len(), 1);
    assert!(object["error"].is_string());
}

/// Checks that a topic's name has 1 to 255 bytes and no control characters.
pub fn check_topic(name: &str) {
    assert!((1..=255).contains(&name.len()), "{name:?}");
    assert!(!name.chars().any(char::is_control), "{name:?}");
}
