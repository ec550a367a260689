//! The end of a connection: the closing handshake, bounded in time.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{join, time::timeout};

use crate::{
    connection::reader::Reader,
    disconnect::Disconnect,
    hub::{
        Ticket,
        bounds::drain_time::DrainTime,
        seat::{SeatRef, publications::Publications},
    },
    protocol,
    protocol::Protocol,
};

/// Ends the connection for `reason`: it leaves its topics at once, what is queued is written,
/// then its Close, and the peer has its chance to answer (RFC 6455 §7.1.1). Returns true if all that was
/// done in time.
pub(super) async fn close(
    seat: &SeatRef,
    mut protocol: Box<dyn Protocol>,
    reader: &mut Reader,
    reason: Disconnect,
) -> bool {
    let within = seat.shard().config().timeouts.close;
    let draining = seat.shard().draining().map(DrainTime::for_closing);
    let within = draining.map_or(within, |draining| draining.min(within));
    poll_fn(|cx| {
        reader.publish_at_last(cx, seat.shard());
        Poll::Ready(())
    })
    .await;
    let mut last = Publications::default();
    protocol.on_close(reason, &mut protocol::Context::new(seat, &mut last));
    let handshake = timeout(within, shake_hands(seat, protocol, reader, reason));
    let (orderly, ()) = join!(handshake, publish(seat, last, within));
    orderly.is_ok()
}

/// Writes what is queued and its Close, and waits for the peer's.
async fn shake_hands(
    seat: &SeatRef,
    protocol: Box<dyn Protocol>,
    reader: &mut Reader,
    reason: Disconnect,
) {
    let mut protocol = Some(protocol);
    if !reason.expects_peers_close() {
        reader.forget();
        // The names of its topics, too: they are charged no more.
        protocol = None;
    }
    poll_fn(|cx| {
        // Stores the waker, for a socket that takes no more at present.
        let _ = seat.poll_ended(cx);
        seat.poll_flushed()
    })
    .await;
    if let Some(protocol) = &mut protocol {
        poll_fn(|cx| reader.poll(cx, seat, &mut **protocol)).await;
    }
    // A registration is free again when the peer sees the end of the stream.
    drop(protocol);
    let shut_down = poll_fn(|cx| seat.poll_shutdown(cx)).await;
    if shut_down.is_ok() && reason.is_amid_sending() {
        let mut ticket = Ticket::default();
        poll_fn(|cx| poll_discard(cx, seat, &mut ticket)).await;
    }
}

/// Publishes what the protocol has said at last, when the hub has room for it, and after this time in any
/// case.
async fn publish(seat: &SeatRef, last: Publications, within: Duration) {
    if last.is_empty() {
        return;
    }
    let pass = if seat.must_wait_to_publish() {
        timeout(within, seat.pass_at_last(last.held_bytes()))
            .await
            .ok()
    } else {
        None
    };
    seat.publish_all(last);
    drop(pass);
}

/// Reads what the peer sends, to no purpose; ready at the end of the stream.
fn poll_discard(cx: &mut Context<'_>, seat: &SeatRef, ticket: &mut Ticket) -> Poll<()> {
    let shard = seat.shard();
    if shard.is_queued(*ticket) {
        return Poll::Pending;
    }
    shard.begin_discarding();
    loop {
        match seat.poll_fill(cx) {
            Poll::Ready(Ok(true)) => seat.discard_received(),
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => {
                shard.queue_if_wanted(ticket, cx);
                return Poll::Pending;
            }
        }
    }
}
