//! The end of a connection: the closing handshake, within a time limit.

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
        handle::{HandleRef, publications::Publications},
    },
    protocol,
    protocol::Protocol,
};

/// Closes a connection that has ended for `reason`. It publishes the messages that still wait for a
/// permit, and those of `on_close`. It writes the outbox, whose last frame is the Close. And it
/// waits for the peer's answer to the Close (RFC 6455 §7.1.1), within the time for closing. Returns
/// true if the closing handshake was complete in time.
pub(super) async fn close(
    handle: &HandleRef,
    mut protocol: Box<dyn Protocol>,
    reader: &mut Reader,
    reason: Disconnect,
) -> bool {
    let within = handle.shard().config().timeouts.close;
    let draining = handle.shard().draining().map(DrainTime::for_closing);
    let within = draining.map_or(within, |draining| draining.min(within));
    poll_fn(|cx| {
        reader.publish_after_end(cx, handle.shard());
        Poll::Ready(())
    })
    .await;
    // `on_close` is called only now, so that its messages are published after the earlier ones.
    let mut last = Publications::default();
    protocol.on_close(reason, &mut protocol::Context::new(handle, &mut last));
    let handshake = timeout(within, closing_handshake(handle, protocol, reader, reason));
    let (orderly, ()) = join!(handshake, publish_last(handle, last, within));
    orderly.is_ok()
}

/// Writes the outbox, with the Close at its end, waits for the peer's Close if one is expected, and
/// shuts the socket down. If the peer may still be sending, the rest of its bytes is then read and
/// thrown away: unread bytes would cause a reset, and the peer could lose our Close.
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
/// much to deliver, they first wait for a permit. When the time `within` is over, they are
/// published without a permit.
async fn publish_last(handle: &HandleRef, last: Publications, within: Duration) {
    if last.is_empty() {
        return;
    }
    let permit = if handle.must_wait_to_publish() {
        timeout(within, handle.acquire_permit_after_end(last.held_bytes()))
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
/// the socket has its waker.
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
