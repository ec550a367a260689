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
        handle::{HandleRef, publications::Publications},
    },
    protocol,
    protocol::Protocol,
};

/// Ends the connection for `reason`: it leaves its topics at once, what is queued is written,
/// then its Close, and the peer has its chance to answer (RFC 6455 §7.1.1). Returns true if all that was
/// done in time.
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
        reader.publish_at_last(cx, handle.shard());
        Poll::Ready(())
    })
    .await;
    let mut last = Publications::default();
    protocol.on_close(reason, &mut protocol::Context::new(handle, &mut last));
    let handshake = timeout(within, shake_hands(handle, protocol, reader, reason));
    let (orderly, ()) = join!(handshake, publish(handle, last, within));
    orderly.is_ok()
}

/// Writes what is queued and its Close, and waits for the peer's.
async fn shake_hands(
    handle: &HandleRef,
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
        handle.register_waker(cx);
        handle.poll_flushed()
    })
    .await;
    if let Some(protocol) = &mut protocol {
        poll_fn(|cx| reader.poll(cx, handle, &mut **protocol)).await;
    }
    // A registration is free again when the peer sees the end of the stream.
    drop(protocol);
    let shut_down = poll_fn(|cx| handle.poll_shutdown(cx)).await;
    if shut_down.is_ok() && reason.is_amid_sending() {
        let mut ticket = Ticket::default();
        poll_fn(|cx| poll_discard(cx, handle, &mut ticket)).await;
    }
}

/// Publishes what the protocol has said at last, when the hub has room for it, and after this time in any
/// case.
async fn publish(handle: &HandleRef, last: Publications, within: Duration) {
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

/// Reads what the peer sends, to no purpose; ready at the end of the stream.
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
