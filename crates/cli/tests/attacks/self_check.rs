//! Checks that the bystanders report every mistake of a server: connects them to a server of a few
//! lines that makes each mistake on purpose.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};

use crate::{
    bystanders::{Bystanders, SUBSCRIBERS},
    server::SHARDS,
    timeline::{Phase, Timeline},
    wire,
};

/// For each mistake, the number of the message and the index of the subscriber that it hits.
const LOST: (usize, usize) = (2, 10);
const DOUBLED: (usize, usize) = (3, 20);
const SWAPPED: (usize, usize) = (4, 30);
const CLOSED: (usize, usize) = (5, 40);
/// Delay of message 6, for all subscribers.
const HELD_UP: Duration = Duration::from_millis(60);

pub(crate) fn the_bystanders_notice_what_is_wrong() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (mut client_ends, mut server_ends) = (Vec::new(), Vec::new());
    for _ in 0..SHARDS + SUBSCRIBERS + 1 {
        client_ends.push(TcpStream::connect(listener.local_addr()?)?);
        let socket = listener.accept()?.0;
        socket.set_nodelay(true)?;
        server_ends.push(socket);
    }
    let subscribers = server_ends.split_off(SHARDS);
    let serving = thread::spawn(move || serve(subscribers));
    for mut echo in server_ends {
        thread::spawn(move || while answer_wrongly(&mut echo).is_ok() {});
    }
    let timeline = Arc::new(Timeline::new());
    let bystanders = Bystanders::start(client_ends, &timeline, Duration::from_secs(10))?;
    timeline.begin(Phase::Attack);
    // The measurement takes this time. No event is waited for.
    thread::sleep(Duration::from_millis(200));
    timeline.begin(Phase::After);
    let mut outcome = bystanders.outcome(Duration::from_secs(10))?;
    timeline.is_over.store(true, Relaxed);
    bystanders.wait_for_shutdown();
    let _ = serving.join();
    // One message is lost. Another one arrives before its predecessor, which counts as lost at that
    // moment, and as misplaced when it comes. The second copy of a message is misplaced, too.
    ensure!(outcome.lost == 2, "{} lost, not 2", outcome.lost);
    ensure!(
        outcome.misplaced == 2,
        "{} misplaced, not 2",
        outcome.misplaced
    );
    ensure!(outcome.codes == [4008], "{:?} and not 4008", outcome.codes);
    ensure!(outcome.closed == 1, "{} closed, not 1", outcome.closed);
    ensure!(outcome.wrong_echoes >= 2, "wrong echoes are not noticed");
    let stream = outcome
        .measured
        .attack
        .quantiles(crate::figures::Probe::Stream);
    let held_up = HELD_UP.as_secs_f64() * 1000.0;
    for shard in stream {
        ensure!(shard.max >= held_up, "{shard:?} is not late");
    }
    Ok(())
}

/// Sends each message of the publisher, which is the last subscriber, to all subscribers, with the
/// mistakes above. Ends when the publisher disconnects.
fn serve(mut subscribers: Vec<TcpStream>) -> Result<()> {
    let publisher = subscribers.len() - 1;
    let mut kept = Vec::new();
    for number in 0.. {
        // 8 bytes of number, 8 of the time at which it was due.
        let payload = read::<16>(&mut subscribers[publisher])?;
        if number == 6 {
            thread::sleep(HELD_UP);
        }
        let message = [&[wire::BINARY, 16][..], &payload].concat();
        for (subscriber, socket) in subscribers.iter_mut().enumerate() {
            match (number, subscriber) {
                LOST => {}
                SWAPPED => kept.clone_from(&message),
                DOUBLED => socket.write_all(&message.repeat(2))?,
                // Code 4008.
                CLOSED => socket.write_all(&[wire::CLOSE, 2, 0x0F, 0xA8])?,
                (number, CLOSED_SUBSCRIBER) if number > CLOSED.0 => {}
                _ => socket.write_all(&message)?,
            }
            if (number, subscriber) == (SWAPPED.0 + 1, SWAPPED.1) {
                socket.write_all(&kept)?;
            }
        }
    }
    Ok(())
}

/// The subscriber that gets nothing more after its Close.
const CLOSED_SUBSCRIBER: usize = CLOSED.1;

/// Reads a message of an echo connection, and replies with another payload.
fn answer_wrongly(echo: &mut TcpStream) -> Result<()> {
    read::<8>(echo)?;
    Ok(echo.write_all(&[wire::BINARY, 8, 0, 0, 0, 0, 0, 0, 0, 0])?)
}

/// Reads a client's frame with a payload of `N` bytes, at most 125, and returns the payload.
fn read<const N: usize>(socket: &mut TcpStream) -> Result<[u8; N]> {
    // 2 bytes of header, 4 of masking key.
    socket.read_exact(&mut [0; 6])?;
    let mut payload = [0; N];
    socket.read_exact(&mut payload)?;
    for (byte, key) in payload.iter_mut().zip(wire::KEY.iter().cycle()) {
        *byte ^= key;
    }
    Ok(payload)
}
