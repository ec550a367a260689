//! The server, in this process, and the memory that it holds.

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

/// Size of the largest message that the server accepts, in bytes.
pub(crate) const MESSAGE_BYTES: usize = 256 * 1024;

/// Tolerance of the comparison, in bytes, for memory that is charged to no client because it exists
/// once: the reply buffers of the shards, each of which may have grown to 528 KiB since the start;
/// the least capacity of the tables in which a shard keeps names; the bytes that the ledgers have
/// not reported to the budget; the threads of the server; and this test.
const SLACK: u64 = 1024 * 1024;

/// Number of the server's shards. They get connections in turn.
const SHARDS: usize = 2;

/// Bytes that the ledgers of all shards together may leave unreported to the budget.
const UNREPORTED: u64 = SHARDS as u64 * 16 * 1024;

/// Longest wait until the allocated and the charged bytes are within their bounds.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    hub: Hub,
    /// The bytes that were allocated and charged when the server had warmed up and had no client.
    base: Figures,
    _stop: oneshot::Sender<()>,
}

/// Bytes that the process has allocated, and bytes that the server has charged to its budget.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    allocated: u64,
    charged: u64,
}

impl Server {
    /// Returns the server that all tests share: if each test had a server of its own, the threads
    /// of the first server would still hold memory while the second one is measured. The lock gives
    /// the server to one test at a time, because the allocator counts for the whole process.
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
        // Long enough that no connection is ended or refused meanwhile.
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

    /// Sends messages of all kinds to each shard. The shard thereby allocates what it keeps for
    /// good: its buffers, a compressor for each window, and a decompressor.
    fn warm_up(&self) {
        for _ in 0..SHARDS {
            let mut client = clients::upgrade(self, "/ws?topic=warm", Offer::Nothing);
            clients::publish(&mut client, 3, &frame(0x82, b"abc"));
        }
        for _ in 0..SHARDS {
            let mut client = clients::upgrade(self, "/echo", Offer::Nothing);
            clients::publish(&mut client, 1, &frame(0x82, &[0; MESSAGE_BYTES]));
        }
        // 0xC2 begins a compressed binary message.
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

    /// Waits until each shard has answered three more requests; the shards get connections in turn.
    /// By then the server has read all bytes that were sent before, except those that it refuses to
    /// read.
    pub(crate) fn wait_until_all_is_read(&self) {
        for _ in 0..3 * SHARDS {
            let mut socket = self.dial();
            let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            socket.write_all(request).unwrap();
            assert_eq!(clients::read_head(&mut socket), *b"200");
        }
    }

    /// Checks that the bytes allocated for clients are at most those that are charged for them, and
    /// that the charged ones are at most `allowed`, but for a difference of [`SLACK`]. A larger
    /// difference is a fault only if it lasts for [`PATIENCE`].
    pub(crate) fn check(&self, allowed: u64) -> Result<(), String> {
        self.wait_until_all_is_read();
        let until = Instant::now() + PATIENCE;
        loop {
            let now = self.figures();
            let allocated = now.allocated.saturating_sub(self.base.allocated);
            let charged = now.charged.saturating_sub(self.base.charged);
            if allocated <= charged + SLACK && charged <= allowed + SLACK {
                return Ok(());
            }
            if until < Instant::now() {
                return Err(format!(
                    "allocated {allocated}, charged {charged}, allowed {allowed}"
                ));
            }
            thread::yield_now();
        }
    }

    /// Waits until the server holds no memory for clients any more.
    pub(crate) fn wait_until_all_are_gone(&self) {
        let until = Instant::now() + PATIENCE;
        while self.hub.metrics().memory.held_bytes > UNREPORTED {
            assert!(Instant::now() < until, "{:?}", self.figures());
            thread::yield_now();
        }
    }
}
