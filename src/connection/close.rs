//! The end of a connection: the closing handshake, within a time limit.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    join,
    time::{Instant, timeout_at},
};

use crate::{
    connection::reader::Reader,
    disconnect::Disconnect,
    hub::{
        Ticket,
        bounds::drain_time::DrainTime,
        handle::{HandleRef, publications::Publications},
    },
    protocol,
    protocol::Protocol,
};

/// Returns the time until which a connection that ends now must be closed.
pub(super) fn deadline(handle: &HandleRef) -> Instant {
    let within = handle.shard().config().timeouts.close;
    let draining = handle.shard().draining().map(DrainTime::for_closing);
    Instant::now() + draining.map_or(within, |draining| draining.min(within))
}

/// Waits until the outbox has all messages that were published before the peer ended the stream,
/// but no longer than `until`. The peer may have shut down its sending side alone, and may still
/// read the messages, its own among them. Writes the outbox meanwhile.
pub(super) async fn await_deliveries(handle: &HandleRef, until: Instant) {
    let Some(mut deliveries) = handle.deliveries() else {
        return;
    };
    let queued = poll_fn(|cx| {
        if handle.register_waker(cx).is_some() {
            return Poll::Ready(());
        }
        handle.write_queued();
        Pin::new(&mut deliveries).poll(cx).map(drop)
    });
    let _ = timeout_at(until, queued).await;
}

/// Closes a connection that has ended for `reason`. First publishes the messages that still wait
/// for a permit. Then calls `on_close`, and publishes the messages that the protocol has published
/// there. Meanwhile makes the closing handshake: writes the outbox, whose last frame is the Close,
/// and waits for the peer's answer to the Close (RFC 6455 §7.1.1), but no longer than `until`.
/// Returns true if the closing handshake was complete in time.
pub(super) async fn close(
    handle: &HandleRef,
    mut protocol: Box<dyn Protocol>,
    reader: &mut Reader,
    reason: Disconnect,
    until: Instant,
) -> bool {
    poll_fn(|cx| {
        reader.publish_after_end(cx, handle.shard());
        Poll::Ready(())
    })
    .await;
    // `on_close` is called only now, so that its messages are published after the earlier ones.
    let mut last = Publications::default();
    protocol.on_close(reason, &mut protocol::Context::new(handle, &mut last));
    let handshake = timeout_at(until, closing_handshake(handle, protocol, reader, reason));
    let (orderly, ()) = join!(handshake, publish_last(handle, last, until));
    orderly.is_ok()
}

/// Writes the outbox, with the Close at its end, waits for the peer's Close if one is expected, and
/// shuts the socket down. If the peer may still be sending, the rest of its bytes is then read and
/// thrown away: unread bytes would cause a reset, and the peer could lose the server's Close.
async fn closing_handshake(
    handle: &HandleRef,
    protocol: Box<dyn Protocol>,
    reader: &mut Reader,
    reason: Disconnect,
) {
    let mut protocol = Some(protocol);
    if !reason.expects_peers_close() {
        reader.drop_unread();
        // The protocol may hold names of topics, which are no longer charged to the budget.
        protocol = None;
    }
    poll_fn(|cx| {
        // A blocked socket wakes this task when it can be written again.
        handle.register_waker(cx);
        handle.poll_flushed()
    })
    .await;
    if let Some(protocol) = &mut protocol {
        poll_fn(|cx| reader.poll(cx, handle, &mut **protocol)).await;
    }
    // Frees a relay's registration before the peer sees the end of the stream and connects again.
    drop(protocol);
    let shut_down = poll_fn(|cx| handle.poll_shutdown(cx)).await;
    if shut_down.is_ok() && reason.may_still_send() {
        let mut ticket = Ticket::default();
        poll_fn(|cx| poll_discard(cx, handle, &mut ticket)).await;
    }
}

/// Publishes `last`, the messages that the protocol has published in `on_close`. If the hub has too
/// much to deliver, they wait for a permit, but no longer than `until`. After that time they are
/// published without a permit.
async fn publish_last(handle: &HandleRef, last: Publications, until: Instant) {
    if last.is_empty() {
        return;
    }
    let permit = if handle.must_wait_to_publish() {
        timeout_at(until, handle.acquire_permit_after_end(last.held_bytes()))
            .await
            .ok()
    } else {
        None
    };
    handle.publish_all(last);
    drop(permit);
}

/// Reads the bytes that the peer sends and throws them away, in turns. Ready at the end of the
/// stream. While this is pending, either the task waits in the shard's queue for its next turn, or
/// the socket wakes the task when it can be read.
fn poll_discard(cx: &mut Context<'_>, handle: &HandleRef, ticket: &mut Ticket) -> Poll<()> {
    let shard = handle.shard();
    if shard.is_queued(*ticket) {
        return Poll::Pending;
    }
    shard.begin_discarding();
    loop {
        match handle.poll_fill(cx) {
            Poll::Ready(Ok(true)) => handle.discard_received(),
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => {
                shard.queue_if_wanted(ticket, cx);
                return Poll::Pending;
            }
        }
    }
}
