//! Exactly once, under stress: publishers to one topic and to many, in fragments and in bursts that
//! the hub has no room for, beside subscribers that stay, relays that change topics, and others
//! that come and go.
//!
//! With `FRAMECAST_LONG` set it takes minutes, and is for a release build.

mod board;
mod follower;
mod plan;
mod publishers;
mod socket;
mod subscribers;

use std::{
    collections::HashMap,
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

use self::{
    board::{Board, Latch, Phase, Report, list},
    follower::END,
    plan::{Plan, Random, Size, TOPICS, Way},
};

/// What is waited for until all tasks have come so far.
type Reached = mpsc::Receiver<std::convert::Infallible>;

#[derive(Debug, Default)]
struct Run {
    tasks: JoinSet<Option<Report>>,
    reports: Vec<Report>,
}

impl Run {
    fn spawn(&mut self, client: impl Future<Output = Report> + Send + 'static) {
        self.tasks.spawn(async { Some(client.await) });
    }

    /// Waits until every latch is dropped. A client that fails meanwhile fails the test.
    async fn all(&mut self, mut reached: Reached) {
        loop {
            tokio::select! {
                biased;
                Some(report) = self.tasks.join_next() => self.reports.extend(report.unwrap()),
                _ = reached.recv() => return,
            }
        }
    }
}

/// Runs a plan to its end: how many messages were received.
async fn run(plan: Plan) -> u64 {
    let server = TestServer::with(configure);
    let board = Arc::new(Board::new(server.address, plan));
    let mut run = Run::default();
    let (connected, all_connected) = mpsc::channel(1);
    let (published, all_published) = mpsc::channel(1);
    let (settled, all_settled) = mpsc::channel(1);
    start_publishers(&mut run, &board, &connected, &published);
    start_stable(&mut run, &board, &connected);
    block_in_place(|| start_relays(&mut run, &board, &server, (&connected, &settled)));
    start_churners(&mut run, &board, &settled);
    drop((connected, published, settled));
    run.all(all_connected).await;
    board.phase.send_replace(Phase::Publishing);
    run.all(all_published).await;
    board.phase.send_replace(Phase::Over);
    run.all(all_settled).await;
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
    // However busy the machine is: nobody is to be slow, silent or late here.
    config.hub.timeouts.blocked = Duration::from_secs(60);
    config.hub.timeouts.ping_after = Duration::from_secs(600);
    config.hub.timeouts.request = Duration::from_secs(60);
}

fn start_publishers(run: &mut Run, board: &Arc<Board>, connected: &Latch, published: &Latch) {
    for (index, publisher) in board.plan.publishers.iter().enumerate() {
        let (board, published) = (Arc::clone(board), published.clone());
        if publisher.way == Way::Post {
            run.tasks.spawn(async move {
                board.post(index, published).await;
                None
            });
        } else {
            run.spawn(board.chat(index, connected.clone(), published));
        }
    }
}

fn start_stable(run: &mut Run, board: &Arc<Board>, connected: &Latch) {
    for (index, topics) in board.plan.stable().into_iter().enumerate() {
        // Some take compressed messages, a few of them in a context of their own.
        let headers = if index % 3 == 0 { OFFER } else { "" };
        run.spawn(Arc::clone(board).stay(topics, headers, connected.clone()));
    }
}

fn start_relays(
    run: &mut Run,
    board: &Arc<Board>,
    server: &TestServer,
    (connected, settled): (&Latch, &Latch),
) {
    for (index, kept) in board.plan.kept().into_iter().enumerate() {
        let path = server.register(&format!("{{\"user_id\":1,{}", &list(&kept)[1..]));
        let random = Random::new(board.plan.seed, &format!("relay {index}"));
        let relay =
            Arc::clone(board).relay((path, kept), random, connected.clone(), settled.clone());
        run.spawn(relay);
    }
}

fn start_churners(run: &mut Run, board: &Arc<Board>, settled: &Latch) {
    for index in 0..board.plan.size.churners {
        let random = Random::new(board.plan.seed, &format!("churner {index}"));
        run.spawn(Arc::clone(board).churn(random, settled.clone()));
    }
}

/// Publishes the end of each topic.
fn end_topics(server: &TestServer) {
    for topic in 0..TOPICS {
        let message = format!("{{\"topic\":\"t{topic}\",\"message\":\"{END}\"}}");
        server.post("/publish", &message);
    }
}

fn check_server(server: &TestServer) {
    eventually("nothing is left", || {
        let health = server.health();
        health["connections"] == 0 && health["topics"] == 0
    });
    let health = server.health();
    for fault in ["slow_consumers", "unanswered_pings", "violations"] {
        assert_eq!(health[fault], 0, "{fault}");
    }
}

/// Asserts that those who got the same by the same topic got it in the same order; how many
/// messages all have received.
fn check_reports(reports: &[Report]) -> u64 {
    let mut orders = HashMap::new();
    let mut compared = 0;
    for sequence in reports.iter().flat_map(|report| &report.sequences) {
        let key = (sequence.topic, sequence.publishers);
        let first = *orders.entry(key).or_insert(sequence.hash);
        assert_eq!(first, sequence.hash, "another order of topic {key:?}");
        compared += 1;
    }
    assert!(compared > orders.len(), "some orders were compared");
    let rounds: u64 = reports.iter().map(|report| report.rounds).sum();
    assert!(rounds > 0, "something has changed meanwhile");
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

const SHORT: Size = Size {
    messages: 80,
    stable: 200,
    relays: 64,
    churners: 48,
};

const LONG: Size = Size {
    messages: 600,
    stable: 600,
    relays: 150,
    churners: 48,
};
