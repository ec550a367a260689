//! What it costs when many go at once, or read no more.

use std::{
    io::Write,
    net::Shutdown,
    time::{Duration, Instant},
};

use anyhow::Result;
use socket2::SockRef;

use super::Attack;
use crate::{
    crowd::{Answers, Crowd},
    field::Field,
    wire::{self, BINARY, Random, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "all-go-at-once",
        "hundreds of connections that leave 128 topics each at one time",
        1,
        all_go_at_once,
    ),
    Attack::new(
        "all-close-at-once",
        "hundreds of Closes to be answered at one time",
        1,
        all_close_at_once,
    ),
    Attack::new(
        "slow-consumers-at-once",
        "200 subscribers who read no more, ended for it at one time",
        1,
        slow_consumers_at_once,
    )
    .with(&["--slow-after", "200ms"]),
    Attack::new(
        "silent-all-at-once",
        "hundreds of Pings at one time, and as many ends, since nobody answers",
        1,
        silent_all_at_once,
    )
    .with(&["--ping-after", "200ms", "--pong-within", "1s"]),
    Attack::new(
        "half-closed",
        "publications, and the end of the stream behind them",
        16,
        half_closed,
    ),
    Attack::new(
        "small-messages-read-late",
        "outboxes of 20,000 small messages each, that are then read",
        2,
        small_messages_read_late,
    ),
];

fn all_go_at_once(field: &mut Field<'_>) -> Result<()> {
    let count = if field.form.is_long { 1500 } else { 300 };
    let crowd = field.crowd(&vec![wire::chat("t", 0..128); count])?;
    let until = field.begin();
    drop(crowd);
    rest(field, until)
}

fn all_close_at_once(field: &mut Field<'_>) -> Result<()> {
    let count = if field.form.is_long { 1500 } else { 300 };
    let mut crowd = field.crowd(&vec![wire::chat("t", (0..128).rev()); count])?;
    crowd.arm(&wire::close(1000), 1);
    let until = field.begin();
    crowd.flood(until + AFTER, Answers::Read)?;
    field.sent += crowd.sent;
    let (ended, codes) = (crowd.ended(), crowd.codes());
    let is_answered = ended == count && codes == [1000];
    field.expect(
        is_answered,
        format!("{ended} of {count} closed, with {codes:?}"),
    );
    rest(field, until)
}

/// Lets the time of the attack pass.
fn rest(field: &Field<'_>, until: Instant) -> Result<()> {
    let mut nobody = field.plain(1)?;
    nobody.flood(until, Answers::Read)
}

fn slow_consumers_at_once(field: &mut Field<'_>) -> Result<()> {
    let paths = vec!["/ws?topic=own".to_owned(); 200];
    let sockets = field.server.upgrade_all(&paths, "")?;
    for socket in &sockets {
        // What they take is the server's to hold, and not the kernel's.
        SockRef::from(socket).set_recv_buffer_size(16 * 1024)?;
    }
    let mut consumers = Crowd::new(sockets)?;
    let mut publisher = field.crowd(&["/ws?topic=own".to_owned()])?;
    // More than may wait for one of them: 8 MiB.
    publisher.arm(&wire::frame(BINARY, &Random(7).bytes(60_000)), 170);
    let until = field.begin();
    while Instant::now() < until + AFTER && field.server.health("slow_consumers") < Some(200) {
        publisher.flood(Instant::now() + Duration::from_millis(100), Answers::Read)?;
    }
    field.sent += publisher.sent;
    consumers.flood(until + AFTER, Answers::Read)?;
    let ended = consumers.ended();
    field.expect(ended == 200, format!("{ended} of 200 slow consumers ended"));
    Ok(())
}

/// How long all that was caused may take to come about.
const AFTER: Duration = Duration::from_secs(20);

fn silent_all_at_once(field: &mut Field<'_>) -> Result<()> {
    let count = if field.form.is_long { 1500 } else { 300 };
    let mut crowd = field.crowd(&vec!["/ws?topic=own".to_owned(); count])?;
    let until = field.begin();
    crowd.flood(until + AFTER, Answers::Read)?;
    let (ended, codes) = (crowd.ended(), crowd.codes());
    let is_ended = ended == count && codes.iter().all(|&code| code == 4012);
    field.expect(
        is_ended,
        format!("{ended} of {count} ended, with {codes:?}"),
    );
    rest(field, until)
}

fn half_closed(field: &mut Field<'_>) -> Result<()> {
    let mut burst = wire::upgrade("/ws?topic=own", "");
    burst.extend(wire::frame(TEXT, b"x").repeat(100));
    let until = field.begin();
    while Instant::now() < until {
        let mut sockets = Vec::new();
        for _ in 0..32 {
            let mut socket = field.server.dial()?;
            socket.write_all(&burst)?;
            socket.shutdown(Shutdown::Write)?;
            field.sent += burst.len() as u64;
            sockets.push(socket);
        }
        let mut crowd = Crowd::new(sockets)?;
        crowd.flood(Instant::now() + Duration::from_millis(500), Answers::Read)?;
    }
    Ok(())
}

fn small_messages_read_late(field: &mut Field<'_>) -> Result<()> {
    let mut readers = field.crowd(&vec!["/ws?topic=own".to_owned(); 40])?;
    let mut publisher = field.crowd(&["/ws?topic=other&topic=own".to_owned()])?;
    publisher.arm(&wire::frame(TEXT, b"x").repeat(1000), 20);
    let until = field.begin();
    let half = Instant::now() + field.form.attack / 2;
    publisher.flood(half, Answers::Read)?;
    readers.flood(until, Answers::Read)?;
    field.sent += publisher.sent;
    Ok(())
}
