//! Attacks on what surrounds the connections: the log, the status 503, and the check of `Host`.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{Attack, Ending};
use crate::{
    attack_run::{AttackRun, Departure},
    crowd::Answers,
    server::{Server, read_answer},
    wire::{self, Frames, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "log-that-nobody-reads",
        "a log line for every connection, written to a pipe that is full",
        16,
        log_that_nobody_reads,
    )
    .with(DEBUG),
    Attack::new(
        "log-that-nobody-reads-and-two-signals",
        "the same, with a drain that would take an hour",
        16,
        log_that_nobody_reads_and_a_close_without_answer,
    )
    .with(&[
        "--log",
        "debug",
        "--drain-timeout",
        "1h",
        "--close-timeout",
        "1h",
    ])
    .ending(Ending::SecondSignal),
    Attack::new(
        "refused-and-delivered",
        "publications that are answered 503 and delivered all the same",
        200,
        refused_and_delivered,
    )
    .with(&["--request-timeout", "300ms"])
    .filling_inboxes(),
    Attack::new(
        "foreign-host",
        "requests whose Host is a name that others control (DNS rebinding)",
        2,
        foreign_host,
    ),
];

const DEBUG: &[&str] = &["--log", "debug"];

/// Opens and closes 2,000 WebSockets, for more log lines than a pipe holds.
fn log_that_nobody_reads(run: &mut AttackRun<'_>) -> Result<()> {
    let until = run.begin();
    let bytes = [wire::upgrade("/ws?topic=own", ""), wire::close(1000)].concat();
    run.churn(until, &bytes, Departure::Answered, 2000)?;
    Ok(())
}

fn log_that_nobody_reads_and_a_close_without_answer(run: &mut AttackRun<'_>) -> Result<()> {
    run.silent = Some(run.server.upgrade("/ws?topic=own")?);
    log_that_nobody_reads(run)
}

/// HTTP statuses of publications by their texts; `None` if there was no response.
type Statuses = HashMap<String, Option<u16>>;

/// Publishes numbered texts over HTTP while 400 others flood the inboxes, so that some publications
/// are answered 503. Expects that no text which was refused is delivered, and every one which was
/// accepted is delivered once.
fn refused_and_delivered(run: &mut AttackRun<'_>) -> Result<()> {
    let (server, patience) = (run.server, run.form.patience);
    let mut collector = server.upgrade("/ws?topic=counted")?;
    let paths: Vec<_> = (0..400).map(|number| wire::chat("own", [number])).collect();
    let mut crowd = run.connect(&paths)?;
    crowd.set_pattern(&wire::frame(TEXT, b"x").repeat(4096), u64::MAX);
    let until = run.begin();
    let is_over = AtomicBool::new(false);
    let mut sent = 0;
    let (answers, texts) = thread::scope(|scope| {
        let collecting = scope.spawn(|| collect(&mut collector));
        let posting: Vec<_> = (0..4)
            .map(|publisher| {
                let is_over = &is_over;
                scope.spawn(move || post(server, publisher, is_over))
            })
            .collect();
        let flooded = crowd.flood(until, Answers::Read);
        is_over.store(true, Relaxed);
        let mut answers = Statuses::new();
        for posting in posting {
            answers.extend(posting.join().unwrap_or_default());
        }
        // Drops the crowd before the last message is published: a debug build of the server would
        // work for a minute on the bytes of the crowd that it has not read yet, and would take no
        // publication meanwhile.
        sent = crowd.sent;
        drop(crowd);
        let last = publish_last(server, patience);
        let texts = collecting.join().unwrap_or_else(|_| Ok(Vec::new()));
        flooded.and(last).and(texts).map(|texts| (answers, texts))
    })?;
    run.sent += sent;
    let mut copies: HashMap<&str, usize> = HashMap::new();
    for text in &texts {
        *copies.entry(text).or_default() += 1;
    }
    let mut count = |wrong: &dyn Fn(Option<u16>, usize) -> bool, what: &str| {
        let all = answers.iter().filter(|(text, status)| {
            wrong(**status, copies.get(text.as_str()).copied().unwrap_or(0))
        });
        let all = all.count();
        run.expect(all == 0, format!("{all} {what}"));
    };
    let is_taken = |status| matches!(status, Some(200 | 202));
    let is_refused = |status: Option<u16>| status.is_some_and(|status| status >= 400);
    count(
        &|status, copies| is_refused(status) && copies > 0,
        "refused and delivered",
    );
    count(
        &|status, copies| is_taken(status) && copies == 0,
        "taken and lost",
    );
    count(&|_, copies| copies > 1, "delivered twice");
    Ok(())
}

/// Publishes texts one after the other until `is_over` is true. A text consists of the number of
/// the publisher and its own. Returns the status of each text.
fn post(server: &Server, publisher: usize, is_over: &AtomicBool) -> Statuses {
    let mut answers = Statuses::new();
    let mut idle: Option<TcpStream> = None;
    let mut number = 0;
    while !is_over.load(Relaxed) {
        let text = format!("{publisher}-{number}");
        number += 1;
        let answer = idle.take().map_or_else(|| server.dial(), Ok);
        let answer = answer.and_then(|mut socket| {
            let body = format!("{{\"topic\":\"counted\",\"message\":\"{text}\"}}");
            socket.write_all(&wire::request("POST", "/publish", &body))?;
            let (status, _) = read_answer(&mut socket)?;
            Ok((socket, status))
        });
        let status = answer.map(|(socket, status)| {
            // The server may close a connection after a rejection.
            idle = Some(socket).filter(|_| status < 300);
            status
        });
        answers.insert(text, status.ok());
    }
    answers
}

/// Publishes "last", at which [`collect`] ends, and repeats that until the server accepts it.
fn publish_last(server: &Server, patience: Duration) -> Result<()> {
    let until = Instant::now() + patience;
    let body = r#"{"topic":"counted","message":"last"}"#;
    loop {
        let answer = server.http(&wire::request("POST", "/publish", body));
        if matches!(answer, Ok((200 | 202, _))) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "the last publication: {answer:?}");
    }
}

/// Returns the texts that arrive before "last".
fn collect(socket: &mut TcpStream) -> Result<Vec<String>> {
    let mut frames = Frames::default();
    let mut texts = Vec::new();
    let mut scratch = vec![0; 16 * 1024];
    // No Ping needs an answer: the first one is not due within the run.
    loop {
        let len = match socket.read(&mut scratch) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.context("collecting")?,
        };
        ensure!(len > 0, "the collector was closed");
        frames.extend(&scratch[..len]);
        while let Some((_, payload)) = frames.next() {
            let text = String::from_utf8_lossy(payload).into_owned();
            if text == "last" {
                return Ok(texts);
            }
            texts.push(text);
        }
    }
}

/// Sends requests as a page of `evil.example` does whose name resolves to the server's address:
/// with that name as `Host` and `Origin`.
fn foreign_host(run: &mut AttackRun<'_>) -> Result<()> {
    let as_page_of = |host: &str, request: &[u8]| {
        let request = String::from_utf8_lossy(request).into_owned();
        let both = format!("Host: {host}\r\nOrigin: http://{host}");
        request.replace("Host: 127.0.0.1", &both).into_bytes()
    };
    let requests = [
        wire::request("GET", "/", ""),
        wire::request("GET", "/health", ""),
        wire::request("POST", "/publish", r#"{"topic":"own","message":"x"}"#),
        wire::request("POST", "/register", r#"{"user_id":1}"#),
        wire::upgrade("/ws", ""),
    ];
    for request in &requests {
        for (host, is_own) in [("evil.example", false), ("localhost:1", true)] {
            let (status, _) = run.server.http(&as_page_of(host, request))?;
            // Only requests for the foreign name are answered 421.
            let is_right = (status == 421) != is_own;
            let asked = String::from_utf8_lossy(request);
            let asked = asked.lines().next().unwrap_or_default();
            run.expect(is_right, format!("{host}: {status} for {asked}"));
        }
    }
    let pattern: Vec<_> = requests[..4]
        .iter()
        .map(|request| as_page_of("evil.example", request))
        .collect();
    run.flood_with_requests(4, &pattern.concat().repeat(64))?;
    Ok(())
}
