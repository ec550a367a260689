//! `framecast publish`: publishes one message over the server's HTTP interface. [`request`] is the
//! body that it sends.

mod request;

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
use serde::Deserialize;
use tokio::time::timeout;

use self::request::{PublishRequest, UserId};
use crate::{
    Misuse,
    dial::dial,
    display::{reason, redirection},
    header::{self, Header, Headers},
    url::Url,
    value::{Count, Whole},
};

/// Time that the connect, the request and the response may take together. Arbitrary: publishing
/// does not wait for subscribers, so a server that needs longer has a problem.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest response body that is read, in bytes. Arbitrary: a count or a one-line error is far
/// shorter.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Publish one message to one or several topics
///
/// Posts the message to URL/publish. Prints the number of connections to which the
/// server has queued it, or that the number is not known yet. A connection that
/// follows several of the topics gets the message once. The exit status is 0 if
/// the server has published the message and --min is reached, 2 if the command
/// line is wrong, and otherwise 1.
///
/// If the message is -, it is read from standard input, and a line feed at its end
/// is removed, unless it is --binary:
///
///   date | framecast publish --topic clock -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// URL of the server
    ///
    /// /publish is appended to its path.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,

    /// Topic to publish to; may be repeated
    #[arg(long = "topic", value_name = "TOPIC", required = true)]
    topics: Vec<String>,

    /// Publish only to the connections of this user
    ///
    /// An ID that is a number is sent as a number.
    #[arg(long = "user", value_name = "ID")]
    user_id: Option<String>,

    /// Add a header to the request, such as "X-Tenant: 1"
    ///
    /// May be repeated. A Host replaces that of the URL.
    #[arg(short = 'H', long = "header", value_name = "LINE")]
    headers: Vec<Header>,

    /// Add the header "Authorization: Bearer TOKEN"
    #[arg(long, value_name = "TOKEN")]
    bearer: Option<String>,

    /// Publish the bytes as a binary message
    #[arg(long)]
    binary: bool,

    /// Print the result as JSON, such as {"queued":1}
    ///
    /// It is {"queued":null} if the number is not known yet.
    #[arg(long)]
    json: bool,

    /// Fail if fewer than N connections were reached
    ///
    /// Fails also if their number is not known. The message was published in
    /// any case.
    #[arg(long, value_name = "N", verbatim_doc_comment)]
    min: Option<Count>,

    /// Message, or - to read it from standard input
    ///
    /// Put -- before a message that starts with a hyphen.
    message: String,
}

/// Publishes the message, and prints to how many connections it was queued.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let url = base(&args.url).map_err(Misuse)?;
    let headers = headers(args.headers, args.bearer.as_deref()).map_err(Misuse)?;
    let message = match args.message.as_str() {
        "-" => read_message(args.binary)?,
        message => message.as_bytes().to_vec(),
    };
    let user_id = args.user_id.as_deref().map(UserId::parse);
    let request = PublishRequest::new(&args.topics, message, args.binary, user_id)?;
    let body = serde_json::to_vec(&request).context("encoding the message")?;
    let exchange = timeout(TIMEOUT, post(&url, &headers, body)).await;
    let response =
        exchange.with_context(|| format!("no answer within {} s", TIMEOUT.as_secs()))??;
    let queued = queued(&response)?;
    let line = if args.json {
        serde_json::json!({ "queued": queued }).to_string()
    } else {
        describe(queued)
    };
    writeln!(io::stdout(), "{line}").context("writing to standard output")?;
    check(queued, args.min)
}

/// Returns the result for a person.
fn describe(queued: Option<u64>) -> String {
    match queued {
        Some(1) => "queued to 1 connection".to_owned(),
        Some(queued) => format!("queued to {queued} connections"),
        None => "published; the number of connections is not known yet".to_owned(),
    }
}

/// Fails if the message was queued to fewer connections than `min`. Also fails if the number is not
/// known, because it may be smaller.
fn check(queued: Option<u64>, min: Option<Count>) -> anyhow::Result<()> {
    let Some(Whole(min)) = min else {
        return Ok(());
    };
    match queued {
        Some(queued) if min.get() as u64 <= queued => Ok(()),
        Some(_) => bail!("--min {min}: {}", describe(queued)),
        None => bail!("--min {min}: the number of connections is not known yet"),
    }
}

/// Parses `url`. Refuses a URL with a query, because `/publish` will be appended to the URL.
fn base(url: &str) -> anyhow::Result<Url> {
    let url = Url::parse(url, "http")?;
    ensure!(url.query.is_none(), "the URL must not contain `?`");
    Ok(url)
}

/// Checks the headers of the command line, and adds one for the token of `--bearer`.
fn headers(mut given: Vec<Header>, token: Option<&str>) -> anyhow::Result<Headers> {
    if let Some(token) = token {
        header::add_bearer(&mut given, token)?;
    }
    let headers = Headers::new(given)?;
    let is_own = headers.contains(CONTENT_TYPE.as_str());
    ensure!(!is_own, "--header: `Content-Type` cannot be added");
    Ok(headers)
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
}

fn read_message(is_binary: bool) -> anyhow::Result<Vec<u8>> {
    let mut message = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut message);
    read.context("reading the message from standard input")?;
    // `echo` and most editors add this line feed, which does not belong to the message.
    if !is_binary && message.ends_with(b"\n") {
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
    if status.is_success() {
        return match (status, serde_json::from_slice(body)) {
            (StatusCode::OK, Ok(Answer::Queued { queued })) => Ok(Some(queued)),
            (StatusCode::ACCEPTED, Ok(Answer::Uncounted { .. })) => Ok(None),
            _ => bail!("the server's answer is not that of a framecast server"),
        };
    }
    let reason = redirection(status, response.headers())
        .unwrap_or_else(|| reason(&String::from_utf8_lossy(body)));
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
    fn fewer_connections_than_min_are_an_error_and_so_is_an_unknown_number() {
        let min = Some("2".parse().unwrap());
        assert!(check(Some(2), min).is_ok());
        assert!(check(None, None).is_ok());
        let error = |queued| check(queued, min).unwrap_err().to_string();
        assert_eq!(error(Some(1)), "--min 2: queued to 1 connection");
        assert!(error(None).contains("not known yet"));
    }
}
