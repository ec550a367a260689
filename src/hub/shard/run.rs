//! What a shard's thread does: the tick, and between its steps the turns of the connections' tasks.

use std::rc::Rc;

use tokio::{
    task::{coop, yield_now},
    time::{MissedTickBehavior, interval, sleep},
};

use crate::hub::{
    bounds::allowance::{Allowance, STEP},
    peer::heartbeat::HeartbeatIntervals,
    shard::{Shard, peers::Peers, relief::behind::BETWEEN_LOOKS, tick::Tick},
};

impl Shard {
    /// Runs the shard, on its own thread, until it is stopped.
    pub(in crate::hub) async fn run(self: Rc<Self>) {
        let sweeper = self.spawn(Rc::clone(&self).sweep_for_ever());
        // The tick has a budget of its own.
        coop::unconstrained(self.tick_until_stopped()).await;
        sweeper.abort();
    }

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
            // Polled once after each look at the sockets: the others of a round come in between.
            self.begin_round();
        }
    }

    /// Waits for something to do; while memory is short, not for long: some may have come to be
    /// behind.
    async fn rest(&self) {
        let woken = self.inbox().woken();
        let budget = &self.shared.budget;
        let has_receivers = !self.state.borrow().receivers.is_empty();
        if !has_receivers && !budget.is_crowded() {
            // Until it is woken, which may be long, it reports nothing.
            self.state.borrow_mut().stop_relieving();
            return woken.await;
        }
        tokio::select! {
            () = woken => {}
            () = budget.wait_to_receive(), if has_receivers => {}
            () = sleep(BETWEEN_LOOKS) => {}
        }
    }

    async fn sweep_for_ever(self: Rc<Self>) {
        let mut interval = interval(HeartbeatIntervals::sweep_interval(&self.config().timeouts));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.sweep().await;
        }
    }

    /// Looks at every connection, some at a time.
    async fn sweep(&self) {
        self.ledger.tell();
        self.shared.budget.look_again();
        self.state.borrow_mut().begin_sweep();
        let mut at = Some(0);
        while let Some(from) = at {
            let mut allowance = Allowance::new(STEP);
            at = self.measure(|| {
                let state = &mut self.state.borrow_mut();
                state.end_part(from, &mut allowance, Peers::sweep)
            });
            // Some may have to be pinged.
            self.inbox().wake();
            yield_now().await;
        }
        self.measure(|| self.shrink());
    }
}
