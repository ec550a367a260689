//! What every answer of ours keeps to, whatever was asked.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use framecast::Response;
use http_body_util::BodyExt;
use serde_json::Value;

/// A rejection says on one line of JSON what was wrong, with a status that fits.
pub fn check_rejection(response: Response) {
    assert!(response.status().is_client_error(), "{response:?}");
    let mut body = pin!(response.into_body().collect());
    let Poll::Ready(Ok(body)) = body.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("a body that is not there");
    };
    let body = body.to_bytes();
    let line = body.strip_suffix(b"\n").expect("a line");
    check_complaint(line);
}

/// One line of JSON: an object with nothing but an error.
pub fn check_complaint(line: &[u8]) {
    let line = str::from_utf8(line).expect("JSON is UTF-8");
    assert!(!line.contains(char::is_control), "{line:?}");
    let value: Value = serde_json::from_str(line).expect("JSON");
    let object = value.as_object().expect("an object");
    assert_eq!(object.len(), 1);
    assert!(object["error"].is_string());
}

/// A topic's name: 1 to 255 bytes without control characters.
pub fn check_topic(name: &str) {
    assert!((1..=255).contains(&name.len()), "{name:?}");
    assert!(!name.chars().any(char::is_control), "{name:?}");
}
