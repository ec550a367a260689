//! Delivery exactly once under stress: publishers to one topic and to many, in fragments and in
//! bursts that make the hub wait, with subscribers that stay, relays that change topics, and
//! clients that connect and leave.
//!
//! `FRAMECAST_LONG` selects a long run, which takes minutes and is for a release build.

mod follower;
mod plan;
mod publishers;
mod shared;
mod socket;
mod subscribers;

use std::{
    collections::HashMap,
    convert::Infallible,
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use framecast::Config;
use framecast_test_support::{TestServer, deflate::OFFER, eventually};
use tokio::{
    sync::mpsc,
    task::{JoinSet, block_in_place},
};

use crate::stress::{
    follower::END,
    plan::{Plan, Random, Size, TOPICS, Way},
    shared::{Latch, Phase, Report, Shared, list},
};

/// The receiver of a latch. It ends when all tasks have dropped their [`Latch`].
type Reached = mpsc::Receiver<Infallible>;

/// Size of a short run.
const SHORT: Size = Size {
    messages: 80,
    stable: 200,
    relays: 64,
    churners: 48,
};

/// Size of a run that takes minutes.
const LONG: Size = Size {
    messages: 600,
    stable: 600,
    relays: 150,
    churners: 48,
};

/// The tasks of all clients, and the reports of those that have ended.
#[derive(Debug, Default)]
struct Run {
    tasks: JoinSet<Option<Report>>,
    reports: Vec<Report>,
}

impl Run {
    fn spawn(&mut self, client: impl Future<Output = Report> + Send + 'static) {
        self.tasks.spawn(async { Some(client.await) });
    }

    /// Waits until all tasks have dropped their latch. If a client panics meanwhile, the test
    /// panics.
    async fn wait_for_all(&mut self, mut reached: Reached) {
        loop {
            tokio::select! {
                biased;
                Some(report) = self.tasks.join_next() => self.reports.extend(report.unwrap()),
                _ = reached.recv() => return,
            }
        }
    }
}

/// Runs a plan to its end. Returns the number of messages that all clients have received.
async fn run(plan: Plan) -> u64 {
    let server = TestServer::with(configure);
    let shared = Arc::new(Shared::new(server.address, plan));
    let mut run = Run::default();
    let (connected, all_connected) = mpsc::channel(1);
    let (published, all_published) = mpsc::channel(1);
    let (settled, all_settled) = mpsc::channel(1);
    start_publishers(&mut run, &shared, &connected, &published);
    start_stable(&mut run, &shared, &connected);
    block_in_place(|| start_relays(&mut run, &shared, &server, (&connected, &settled)));
    start_churners(&mut run, &shared, &settled);
    drop((connected, published, settled));
    run.wait_for_all(all_connected).await;
    shared.phase.send_replace(Phase::Publishing);
    run.wait_for_all(all_published).await;
    shared.phase.send_replace(Phase::Over);
    run.wait_for_all(all_settled).await;
    block_in_place(|| end_topics(&server));
    while let Some(report) = run.tasks.join_next().await {
        run.reports.extend(report.unwrap());
    }
    block_in_place(|| check_server(&server));
    check_reports(&run.reports)
}

fn configure(config: &mut Config) {
    config.hub.shards = 3.try_into().unwrap();
    config.hub.deflate.enabled = true;
    config.hub.deflate.contexts = 48;
    // Long enough that no connection times out on a busy machine.
    config.hub.timeouts.blocked = Duration::from_secs(60);
    config.hub.timeouts.ping_after = Duration::from_secs(600);
    config.hub.timeouts.request = Duration::from_secs(60);
}

fn start_publishers(run: &mut Run, shared: &Arc<Shared>, connected: &Latch, published: &Latch) {
    for (index, publisher) in shared.plan.publishers.iter().enumerate() {
        let (shared, published) = (Arc::clone(shared), published.clone());
        if publisher.way == Way::Post {
            run.tasks.spawn(async move {
                shared.post(index, published).await;
                None
            });
        } else {
            run.spawn(shared.chat(index, connected.clone(), published));
        }
    }
}

fn start_stable(run: &mut Run, shared: &Arc<Shared>, connected: &Latch) {
    for (index, topics) in shared.plan.stable().into_iter().enumerate() {
        // A third of the subscribers gets compressed messages. The first ones have contexts of
        // their own, until the server has no more.
        let headers = if index % 3 == 0 { OFFER } else { "" };
        run.spawn(Arc::clone(shared).stay(topics, headers, connected.clone()));
    }
}

fn start_relays(
    run: &mut Run,
    shared: &Arc<Shared>,
    server: &TestServer,
    (connected, settled): (&Latch, &Latch),
) {
    for (index, kept) in shared.plan.kept().into_iter().enumerate() {
        // `list` returns a JSON object. Its members without the brace follow `user_id`.
        let path = server.register(&format!("{{\"user_id\":1,{}", &list(&kept)[1..]));
        let random = Random::new(shared.plan.seed, &format!("relay {index}"));
        let relay =
            Arc::clone(shared).relay((path, kept), random, connected.clone(), settled.clone());
        run.spawn(relay);
    }
}

fn start_churners(run: &mut Run, shared: &Arc<Shared>, settled: &Latch) {
    for index in 0..shared.plan.size.churners {
        let random = Random::new(shared.plan.seed, &format!("churner {index}"));
        run.spawn(Arc::clone(shared).churn(random, settled.clone()));
    }
}

/// Publishes [`END`] to each topic.
fn end_topics(server: &TestServer) {
    for topic in 0..TOPICS {
        let message = format!("{{\"topic\":\"t{topic}\",\"message\":\"{END}\"}}");
        server.post("/publish", &message);
    }
}

/// Waits until all clients have left, and asserts that the server has ended none of them.
fn check_server(server: &TestServer) {
    eventually("no connection and no topic is left", || {
        let health = server.health();
        health["connections"] == 0 && health["topics"] == 0
    });
    let health = server.health();
    for fault in ["slow_consumers", "unanswered_pings", "violations"] {
        assert_eq!(health[fault], 0, "{fault}");
    }
}

/// Asserts that clients with the same messages of a topic received them in the same order. Returns
/// the number of messages that all clients have received.
fn check_reports(reports: &[Report]) -> u64 {
    let mut orders = HashMap::new();
    let mut compared = 0;
    for sequence in reports.iter().flat_map(|report| &report.sequences) {
        let key = (sequence.topic, sequence.publishers);
        let first = *orders.entry(key).or_insert(sequence.hash);
        assert_eq!(sequence.hash, first, "another order of topic {key:?}");
        compared += 1;
    }
    assert!(compared > orders.len(), "some orders are compared");
    let rounds: u64 = reports.iter().map(|report| report.rounds).sum();
    assert!(rounds > 0, "topics and connections have changed meanwhile");
    reports.iter().map(|report| report.received).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_arrives_exactly_once_and_in_order_while_topics_and_connections_change() {
    let (seeds, least, size) = if env::var_os("FRAMECAST_LONG").is_some() {
        (1..=4, 10_000_000, LONG)
    } else {
        (0..=0, 100_000, SHORT)
    };
    let begin = Instant::now();
    let mut received = 0;
    for seed in seeds {
        received += run(Plan::new(seed, size)).await;
    }
    // Shown with `--nocapture`.
    println!(
        "{received} deliveries in {:.1?}, 0 bad streams",
        begin.elapsed()
    );
    assert!(received >= least, "{received}");
}
