//! `framecast publish`: publishes one message over the server's HTTP interface.

use std::{
    io::{self, Read as _, Write as _},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::{
    Misuse,
    dial::dial,
    display::{first_line, redirection},
    header::{Header, Headers},
    url::Url,
};

/// Time that the connect, the request and the response may take together. Arbitrary: publishing
/// does not wait for subscribers, so a server that needs longer has a problem.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest response body that is read, in bytes. Arbitrary: a count or a one-line error is far
/// shorter.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Publish one message to a topic
///
/// Posts the message to URL/publish. Prints the number of connections to which the
/// server has queued it, or that the number is not known yet. The exit status is 0
/// if the server has published the message, 2 if the command line is wrong, and
/// otherwise 1.
///
/// If the message is -, it is read from standard input, and a line feed at its end
/// is removed:
///
///   date | framecast publish --topic clock -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// URL of the server; /publish is appended to its path
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,

    /// Topic to publish to
    #[arg(long)]
    topic: String,

    /// Publish only to the connections of this user; an id that is a number is sent as a number
    #[arg(long = "user", value_name = "ID")]
    user_id: Option<String>,

    /// Add a header to the request, such as "Origin: https://app.example"; a Host replaces that of
    /// the URL; may be repeated
    #[arg(long = "header", value_name = "LINE")]
    headers: Vec<Header>,

    /// Message, or - to read it from standard input; put -- before a message
    /// that starts with a hyphen
    #[arg(verbatim_doc_comment)]
    message: String,
}

/// Publishes the message, and prints to how many connections it was queued.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let url = base(&args.url).map_err(Misuse)?;
    let headers = headers(args.headers).map_err(Misuse)?;
    let message = match args.message.as_str() {
        "-" => read_message()?,
        _ => args.message,
    };
    let request = PublishRequest {
        topic: &args.topic,
        message: &message,
        user_id: args.user_id.as_deref().map(UserId::parse),
    };
    let body = serde_json::to_vec(&request).context("encoding the message")?;
    let exchange = timeout(TIMEOUT, post(&url, &headers, body)).await;
    let response =
        exchange.with_context(|| format!("no answer within {} s", TIMEOUT.as_secs()))??;
    let line = match queued(&response)? {
        Some(1) => "queued to 1 connection".to_owned(),
        Some(queued) => format!("queued to {queued} connections"),
        None => "published; the number of connections is not known yet".to_owned(),
    };
    writeln!(io::stdout(), "{line}").context("writing to standard output")
}

/// Parses `url`. Refuses a URL with a query, because `/publish` will be appended to the URL.
fn base(url: &str) -> anyhow::Result<Url> {
    let url = Url::parse(url, "http")?;
    ensure!(url.query.is_none(), "the URL must not contain `?`");
    Ok(url)
}

/// Checks the headers of the command line.
fn headers(given: Vec<Header>) -> anyhow::Result<Headers> {
    let headers = Headers::new(given)?;
    let is_own = headers.contains(CONTENT_TYPE.as_str());
    ensure!(!is_own, "--header: `Content-Type` cannot be added");
    Ok(headers)
}

/// The body of the request.
#[derive(Debug, Serialize)]
struct PublishRequest<'a> {
    topic: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId<'a>>,
}

/// The id of a user, which is sent as a JSON number or as a JSON string. The server takes both.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum UserId<'a> {
    Number(u64),
    Text(&'a str),
}

impl<'a> UserId<'a> {
    fn parse(id: &'a str) -> Self {
        match id.parse::<u64>() {
            // `007` and `+7` are other ids than `7`.
            Ok(number) if number.to_string() == id => Self::Number(number),
            _ => Self::Text(id),
        }
    }
}

/// The body of the response.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Queued {
        queued: u64,
    },
    /// `{"queued":null}`: published, but the server did not know the count in time.
    Uncounted {
        #[serde(rename = "queued")]
        _queued: (),
    },
    Refused {
        error: String,
    },
}

fn read_message() -> anyhow::Result<String> {
    let mut message = String::new();
    let mut stdin = io::stdin().lock();
    let read = stdin.read_to_string(&mut message);
    read.context("reading the message from standard input")?;
    // `echo` and most editors add this line feed, which does not belong to the message.
    if message.ends_with('\n') {
        message.pop();
    }
    Ok(message)
}

async fn post(url: &Url, headers: &Headers, body: Vec<u8>) -> anyhow::Result<Response<Bytes>> {
    let socket = dial(&url.host, url.port, TIMEOUT).await;
    let socket = socket.with_context(|| format!("cannot connect to {}", url.authority))?;
    let (mut sender, connection) = http1::Builder::new()
        .allow_obsolete_multiline_headers_in_responses(true)
        .handshake(TokioIo::new(socket))
        .await?;
    let path = format!("{}/publish", url.path.trim_end_matches('/'));
    let host = headers.host.as_ref().unwrap_or(&url.authority);
    let request = headers
        .add_to(Request::post(path))
        .header(HOST, host.as_bytes())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;

    let exchange = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        match Limited::new(body, MAX_ANSWER_BYTES).collect().await {
            Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
            Err(error) => Err(anyhow::Error::from_boxed(error)),
        }
    };
    // The task's result is not needed: an error of the connection fails the exchange, too.
    let connection = tokio::spawn(connection);
    let answer = exchange.await.context("no answer from the server");
    connection.abort();
    answer
}

/// Returns the number of connections to which the server has queued the message, from its response.
/// `None` if the server does not know the number yet.
///
/// # Errors
///
/// The server refused the message. The error has the reason that the server gave.
fn queued(response: &Response<Bytes>) -> anyhow::Result<Option<u64>> {
    let (status, body) = (response.status(), response.body());
    let answer = serde_json::from_slice(body);
    if status.is_success() {
        return match (status, answer) {
            (StatusCode::OK, Ok(Answer::Queued { queued })) => Ok(Some(queued)),
            (StatusCode::ACCEPTED, Ok(Answer::Uncounted { .. })) => Ok(None),
            _ => bail!("the server's answer is not that of a framecast server"),
        };
    }
    let reason = match (redirection(status, response.headers()), answer) {
        (Some(target), _) => target,
        (None, Ok(Answer::Refused { error })) => first_line(&error),
        (None, _) => first_line(&String::from_utf8_lossy(body)),
    };
    if reason.is_empty() {
        bail!("the server answered {status}");
    }
    bail!("the server answered {status}: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Response<Bytes> {
        let response = Response::builder().status(status);
        response
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .unwrap()
    }

    /// Returns the error of a publication to which the server answers `status` and `body`.
    fn error_of(status: u16, body: &str) -> String {
        queued(&response(status, body)).unwrap_err().to_string()
    }

    #[test]
    fn the_count_is_read_from_the_response() {
        let count = queued(&response(200, r#"{"queued":3,"more":true}"#));
        assert_eq!(count.unwrap(), Some(3));
        let count = queued(&response(202, r#"{"queued":null}"#));
        assert_eq!(count.unwrap(), None);
        for (status, body) in [
            (200, "hello"),
            (200, "{}"),
            (200, r#"{"queued":null}"#),
            (202, "{}"),
            (202, r#"{"queued":3}"#),
            (204, ""),
        ] {
            assert!(error_of(status, body).contains("not that of a framecast server"));
        }
    }

    #[test]
    fn the_reason_is_the_error_field_or_the_first_line() {
        assert_eq!(
            error_of(404, r#"{"error":"no such\u001b topic"}"#),
            "the server answered 404 Not Found: no such\\u{1b} topic"
        );
        assert_eq!(
            error_of(400, "\nnot JSON\nat all"),
            "the server answered 400 Bad Request: not JSON"
        );
        assert_eq!(
            error_of(500, ""),
            "the server answered 500 Internal Server Error"
        );
    }

    #[test]
    fn a_user_id_is_a_number_only_if_it_is_written_like_one() {
        assert_eq!(UserId::parse("42"), UserId::Number(42));
        // The last number is 2^64, which is one more than a number can be.
        for id in ["alice", "007", "+7", "-1", "18446744073709551616", ""] {
            assert_eq!(UserId::parse(id), UserId::Text(id));
        }
    }

    #[test]
    fn the_body_has_no_field_for_an_option_that_is_not_given() {
        let mut request = PublishRequest {
            topic: "cats",
            message: "\"meow\"",
            user_id: None,
        };
        let json = |request: &_| serde_json::to_string(request).unwrap();
        assert_eq!(json(&request), r#"{"topic":"cats","message":"\"meow\""}"#);

        request.user_id = Some(UserId::Number(7));
        assert!(json(&request).ends_with(r#","user_id":7}"#));
    }
}
