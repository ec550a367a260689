//! The main loop of a shard: steps of the tick, and between them turns of the connections' tasks.

use std::rc::Rc;

use tokio::{
    task::{coop, yield_now},
    time::{MissedTickBehavior, interval, sleep},
};

use crate::hub::{
    bounds::allowance::{Allowance, STEP},
    peer::heartbeat::HeartbeatIntervals,
    shard::{Shard, peers::Peers, relief::behind::SEARCH_INTERVAL, tick::Tick},
};

impl Shard {
    /// Runs the main loop, on the shard's own thread, until the shard is stopped.
    pub(in crate::hub) async fn run(self: Rc<Self>) {
        let sweeper = self.spawn(Rc::clone(&self).sweep_for_ever());
        // The steps of the tick are bounded in time, so tokio need not make this task yield.
        coop::unconstrained(self.tick_until_stopped()).await;
        sweeper.abort();
    }

    /// Runs the steps of the tick, and begins a round after each, until the shard is stopped.
    async fn tick_until_stopped(self: &Rc<Self>) {
        let mut tick = Tick::default();
        while !self.is_stopping.get() {
            self.shared.metrics[self.index].ticks.increment();
            self.measure(|| tick.step(self));
            if tick.is_at_rest(self) && !self.has_waiting() && !self.is_stopping.get() {
                self.rest().await;
            } else {
                yield_now().await;
            }
            // After `yield_now`, tokio polls the sockets before it polls this task again. So there
            // is one round for each poll of the sockets. Its tasks run after the next step.
            self.begin_round();
        }
    }

    /// Waits until the shard is woken or, if connections wait to receive, until memory is no longer
    /// exhausted. While memory is short, waits for at most 100 ms, because peers may have fallen
    /// behind meanwhile.
    async fn rest(&self) {
        let woken = self.inbox().woken();
        let budget = &self.shared.budget;
        let has_receivers = !self.state.borrow().receivers.is_empty();
        if !has_receivers && !budget.is_crowded() {
            // This may take long, and the other shards must not rely on an old report of this one.
            self.state.borrow_mut().stop_relieving();
            return woken.await;
        }
        tokio::select! {
            () = woken => {}
            () = budget.wait_to_receive(), if has_receivers => {}
            () = sleep(SEARCH_INTERVAL) => {}
        }
    }

    /// Sweeps at regular intervals. The main loop aborts this task at its end.
    async fn sweep_for_ever(self: Rc<Self>) {
        let mut interval = interval(HeartbeatIntervals::sweep_interval(&self.config().timeouts));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.sweep().await;
        }
    }

    /// Checks every connection, in several steps, and then frees memory that a burst has left.
    async fn sweep(&self) {
        self.ledger.report();
        self.shared.budget.refresh_levels();
        self.state.borrow_mut().begin_sweep();
        let mut next_part = Some(0);
        while let Some(part) = next_part {
            let mut allowance = Allowance::new(STEP);
            next_part = self.measure(|| {
                let state = &mut self.state.borrow_mut();
                state.end_part(part, &mut allowance, Peers::sweep)
            });
            // The tick has to write the Pings that were queued.
            self.inbox().wake();
            yield_now().await;
        }
        self.measure(|| self.shrink());
    }
}
