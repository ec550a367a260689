//! The server, in this process, and what it holds.

use std::{
    net::{SocketAddr, TcpStream},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use framecast::{Config, Hub};
use tokio::sync::oneshot;

use crate::{ALLOCATOR, clients};

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    hub: Hub,
    /// When nobody was there.
    base: Figures,
    _stop: oneshot::Sender<()>,
}

/// Bytes, at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    allocated: u64,
    charged: u64,
}

impl Server {
    /// One server for all: the threads of another one would end some time after it.
    pub(crate) fn the_one() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| {
            let mut server = Self::start();
            server.warm_up();
            server.base = server.figures();
            server
        })
    }

    fn start() -> Self {
        let mut config = Config::default();
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.shards = 2.try_into().unwrap();
        // Nobody is to be ended meanwhile.
        config.timeouts.request = Duration::from_secs(60);
        config.timeouts.blocked = Duration::from_secs(60);
        config.timeouts.registration = Duration::from_millis(100);
        let (stop, stopped) = oneshot::channel();
        let (started, wait) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let server = framecast::Server::bind(&config).unwrap();
                started.send((server.local_addr(), server.hub())).unwrap();
                server.serve(stopped).await.unwrap();
            });
        });
        let (address, hub) = wait.recv().unwrap();
        Self {
            address,
            hub,
            base: Figures::default(),
            _stop: stop,
        }
    }

    pub(crate) fn dial(&self) -> TcpStream {
        clients::dial(self.address)
    }

    /// Lets each shard make what it makes once.
    fn warm_up(&self) {
        for _ in 0..4 {
            let topics = vec!["warm".to_owned()];
            let mut client = clients::upgrade(self, "/ws", &topics);
            clients::publish(&mut client, 3, 3);
        }
    }

    fn figures(&self) -> Figures {
        Figures {
            allocated: ALLOCATOR.allocated() as u64,
            charged: self.hub.memory_bytes(),
        }
    }

    /// Compares what is allocated for clients and what is charged, and the latter with what the rule
    /// allows. What passes is waited for; what stays is a fault.
    pub(crate) fn check(&self, rule: u64) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let now = self.figures();
            let allocated = now.allocated.saturating_sub(self.base.allocated);
            let charged = now.charged.saturating_sub(self.base.charged);
            if allocated <= charged + SLACK && charged <= rule + SLACK {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!(
                    "allocated {allocated}, charged {charged}, the rule allows {rule}"
                ));
            }
            thread::yield_now();
        }
    }

    pub(crate) fn wait_until_all_are_gone(&self) {
        let until = Instant::now() + PATIENCE;
        while self.figures().charged > self.base.charged + SLACK {
            assert!(Instant::now() < until, "{:?}", self.figures());
            thread::yield_now();
        }
    }
}

/// What nobody is charged for, because it is there once: of each of two shards the buffer for replies,
/// up to 264 KiB, and the least rooms of the parts in which it keeps names; what its ledger keeps to
/// itself; the threads of a server; and this test.
const SLACK: u64 = 3 * 512 * 1024;

const PATIENCE: Duration = Duration::from_secs(10);
