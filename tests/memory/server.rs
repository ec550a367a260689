//! The server, in this process, and what it holds.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use framecast::{Config, Hub};
use tokio::sync::oneshot;

use crate::{
    ALLOCATOR,
    clients::{self, Offer, deflated, frame},
};

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
    /// One server for all: the threads of another one would end some time after it. A test has it
    /// alone, because the allocator counts what is there of all of them.
    pub(crate) fn the_one() -> MutexGuard<'static, Self> {
        static SERVER: LazyLock<Mutex<Server>> = LazyLock::new(|| {
            let mut server = Server::start();
            server.warm_up();
            server.wait_until_all_are_gone();
            server.base = server.figures();
            Mutex::new(server)
        });
        SERVER.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start() -> Self {
        let mut config = Config::default();
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.hub.shards = SHARDS.try_into().unwrap();
        // Nobody is to be ended meanwhile, or refused.
        for timeout in [
            &mut config.hub.timeouts.request,
            &mut config.hub.timeouts.ping_after,
            &mut config.hub.timeouts.blocked,
            &mut config.hub.timeouts.behind,
        ] {
            *timeout = Duration::from_secs(600);
        }
        config.hub.limits.memory_budget = Some(1 << 30);
        config.hub.limits.message_bytes = MESSAGE_BYTES;
        config.hub.deflate.enabled = true;
        config.hub.deflate.contexts = 4;
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

    /// Lets each shard make what it makes once: its buffers, a compressor for each window, and something
    /// that inflates.
    fn warm_up(&self) {
        for _ in 0..SHARDS {
            let mut client = clients::upgrade(self, "/ws?topic=warm", Offer::Nothing);
            clients::publish(&mut client, 3, &frame(0x82, b"abc"));
        }
        for _ in 0..SHARDS {
            let mut client = clients::upgrade(self, "/echo", Offer::Nothing);
            clients::publish(&mut client, 1, &frame(0x82, &[0; MESSAGE_BYTES]));
        }
        let message = frame(0xC2, &deflated(&[0; 200]));
        for window in 8..=15 {
            for _ in 0..SHARDS {
                let mut client = clients::upgrade(self, "/echo", Offer::Window(window));
                client.write_all(&message).unwrap();
                clients::read_frame(&mut client);
            }
        }
    }

    fn figures(&self) -> Figures {
        Figures {
            allocated: ALLOCATOR.allocated() as u64,
            charged: self.hub.metrics().memory.held_bytes,
        }
    }

    /// Waits until each shard has answered several who came later: so it has read what was sent before,
    /// as far as it reads that at all.
    fn wait_until_all_is_read(&self) {
        for _ in 0..3 * SHARDS {
            let mut socket = self.dial();
            let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            socket.write_all(request).unwrap();
            assert_eq!(clients::read_head(&mut socket), *b"200");
        }
    }

    /// Compares what is allocated for clients and what is charged, and the latter with what the rule
    /// allows. What passes is waited for; what stays is a fault.
    pub(crate) fn check(&self, rule: u64) -> Result<(), String> {
        self.wait_until_all_is_read();
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
        while self.hub.metrics().memory.held_bytes > UNTOLD {
            assert!(Instant::now() < until, "{:?}", self.figures());
            thread::yield_now();
        }
    }
}

/// The largest message that it takes.
pub(crate) const MESSAGE_BYTES: usize = 256 * 1024;

/// What nobody is charged for, because it is there once: of each of two shards the buffer for replies,
/// which may have grown to 528 KiB since, and the least rooms of the parts in which it keeps names; what
/// its ledger keeps to itself; the threads of a server; and this test.
const SLACK: u64 = 1024 * 1024;

/// What the ledgers may keep to themselves.
const UNTOLD: u64 = SHARDS as u64 * 16 * 1024;

/// Connections go to them in turn.
const SHARDS: usize = 2;

const PATIENCE: Duration = Duration::from_secs(30);
