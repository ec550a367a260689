//! The end of a connection: the closing handshake, bounded in time.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use tokio::time::timeout;

use crate::{
    connection::{Session, reader::Reader},
    disconnect::Disconnect,
    hub::{Ticket, seat::SeatRef},
};

/// Ends the connection for `reason`: it leaves its topics at once, what is queued is written,
/// then its Close, and the peer has its chance to answer (RFC 6455 §7.1.1). True if all that was
/// done in time.
pub(super) async fn close(
    seat: &SeatRef,
    session: Session,
    reader: &mut Reader,
    reason: Disconnect,
) -> bool {
    seat.end(reason);
    let timeouts = &seat.shard().config().timeouts;
    let within = match reason {
        // Requests get half of the drain; the closing handshake must fit into the rest.
        Disconnect::Restarting => timeouts.close.min(timeouts.drain / 3),
        _ => timeouts.close,
    };
    let handshake = async {
        let mut session = Some(session);
        if !reason.expects_peers_close() {
            poll_fn(|cx| {
                reader.publish_at_last(cx, seat.shard());
                Poll::Ready(())
            })
            .await;
            reader.forget();
            // The names of its topics, too: they are charged no more.
            session = None;
        }
        poll_fn(|cx| {
            reader.publish_at_last(cx, seat.shard());
            // Stores the waker, for a socket that takes no more at present.
            let _ = seat.poll_ended(cx);
            seat.poll_flushed()
        })
        .await;
        if let Some(session) = &session {
            poll_fn(|cx| reader.poll(cx, seat, session)).await;
        }
        // A registration is free again when the peer sees the end of the stream.
        drop(session);
        let shut_down = poll_fn(|cx| seat.poll_shutdown(cx)).await;
        if shut_down.is_ok() && reason.is_amid_sending() {
            let mut ticket = Ticket::default();
            poll_fn(|cx| poll_discard(cx, seat, &mut ticket)).await;
        }
    };
    timeout(within, handshake).await.is_ok()
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
