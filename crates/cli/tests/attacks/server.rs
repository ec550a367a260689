//! The server that is attacked: a new process for every attack.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Socket, Type};

use crate::{cgroup::Cgroup, wire};

/// Number of shards of every server. Shard 0 also accepts.
pub(crate) const SHARDS: usize = 2;

/// Longest wait for an answer of the server.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Receive buffer in bytes, which the kernel raises to the smallest one that it allows.
const SMALLEST_BUFFER: usize = 1;

/// A running server; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Standard error of a server with a log: held open, and never read.
    _errors: Option<ChildStderr>,
    pub(crate) address: SocketAddr,
    /// Number of connections so far: the server hands them to its shards in turn.
    dialled: Mutex<usize>,
}

impl Server {
    /// Starts `program` with options of `serve`. If `--log` is among them, the log goes to a pipe
    /// that nobody reads.
    pub(crate) fn start(program: &Path, options: &[&str]) -> Result<Self> {
        Self::start_as(Command::new(program), options)
    }

    /// Starts `program` like [`Self::start`], in a cgroup.
    pub(crate) fn start_in(cgroup: &Cgroup, program: &Path, options: &[&str]) -> Result<Self> {
        Self::start_as(cgroup.command(program), options)
    }

    /// Runs a command with options of `serve` added, and waits for the server's address.
    fn start_as(mut command: Command, options: &[&str]) -> Result<Self> {
        let logs = options.contains(&"--log");
        command.args(["serve", "--listen", "127.0.0.1:0", "--shards"]);
        command.arg(SHARDS.to_string()).args(options);
        if logs {
            command.stderr(Stdio::piped());
        } else {
            command.args(["--log", "error"]).stderr(Stdio::null());
        }
        let mut child = command
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let address = listening_address(&mut child);
        let mut server = Self {
            _errors: child.stderr.take(),
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            dialled: Mutex::new(0),
        };
        server.address = address?;
        Ok(server)
    }

    /// Opens a TCP connection.
    pub(crate) fn dial(&self) -> Result<TcpStream> {
        let mut dialled = self.dialled.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = TcpStream::connect_timeout(&self.address, PATIENCE).context("connecting")?;
        *dialled += 1;
        drop(dialled);
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(socket)
    }

    /// Opens one of thousands of TCP connections, from one of 250 addresses, since one address has
    /// too few ports. Its receive buffer is the smallest that the kernel allows, so that what it
    /// does not read waits in the server and not in the kernel.
    pub(crate) fn dial_from_many_addresses(&self) -> Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_recv_buffer_size(SMALLEST_BUFFER)?;
        let number = {
            // The lock is released before it connects: other attacks connect at the same time.
            let mut dialled = self.dialled.lock().unwrap_or_else(PoisonError::into_inner);
            *dialled += 1;
            // 64 connections from one address, then the next 64 from the next one.
            u8::try_from(*dialled / 64 % 250)?
        };
        socket.bind(&SocketAddr::from(([127, 0, 0, 2 + number], 0)).into())?;
        socket
            .connect_timeout(&self.address.into(), PATIENCE)
            .context("connecting")?;
        Ok(socket.into())
    }

    /// Opens TCP connections, on each shard in turn, beginning with shard 0.
    pub(crate) fn dial_all(&self, count: usize) -> Result<Vec<TcpStream>> {
        self.skip_to_shard(0)?;
        (0..count).map(|_| self.dial()).collect()
    }

    /// Makes sure that the server hands the next connection to `shard`.
    pub(crate) fn skip_to_shard(&self, shard: usize) -> Result<()> {
        let dialled = *self.dialled.lock().unwrap_or_else(PoisonError::into_inner);
        if dialled % SHARDS != shard {
            // With two shards, the next connection after this one is for `shard`.
            self.dial()?;
        }
        Ok(())
    }

    /// Opens a WebSocket on each path, on each shard in turn, beginning with shard 0.
    pub(crate) fn upgrade_all(&self, paths: &[String], headers: &str) -> Result<Vec<TcpStream>> {
        self.skip_to_shard(0)?;
        let mut sockets = Vec::new();
        // 64 handshakes at a time: faster than one by one, and short enough for any listen backlog.
        for paths in paths.chunks(64) {
            let mut batch = Vec::new();
            for path in paths {
                let mut socket = self.dial()?;
                socket.write_all(&wire::upgrade(path, headers))?;
                batch.push(socket);
            }
            for mut socket in batch {
                let head = read_head(&mut socket)?;
                ensure!(head.starts_with("HTTP/1.1 101"), "no 101 but {head}");
                sockets.push(socket);
            }
        }
        Ok(sockets)
    }

    /// Opens a WebSocket.
    pub(crate) fn upgrade(&self, path: &str) -> Result<TcpStream> {
        let mut socket = self.dial()?;
        socket.write_all(&wire::upgrade(path, ""))?;
        let head = read_head(&mut socket)?;
        ensure!(head.starts_with("HTTP/1.1 101"), "no 101 but {head}");
        Ok(socket)
    }

    /// Sends a request on a new connection. Returns status and body of the response.
    pub(crate) fn http(&self, request: &[u8]) -> Result<(u16, String)> {
        let mut socket = self.dial()?;
        socket.write_all(request)?;
        read_answer(&mut socket)
    }

    /// Registers a relay, and returns the path of its WebSocket.
    pub(crate) fn register(&self, user: usize, topics: &[String]) -> Result<String> {
        let topics = topics.join("\",\"");
        let body = format!("{{\"user_id\":{user},\"topics\":[\"{topics}\"]}}");
        let (status, answer) = self.http(&wire::request("POST", "/register", &body))?;
        ensure!(status == 200, "registering: {status} {answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let url = answer["url"].as_str().context("no url")?;
        let id = url.rsplit('/').next().unwrap_or_default();
        Ok(format!("/ws/{id}"))
    }

    /// Returns a number from `/health`, or `None` if the server does not answer or the response
    /// does not have the field.
    pub(crate) fn health(&self, field: &str) -> Option<u64> {
        self.all_health().ok()?[field].as_u64()
    }

    /// Returns the whole response to `/health`.
    pub(crate) fn all_health(&self) -> Result<serde_json::Value> {
        let (_, health) = self.http(&wire::request("GET", "/health", ""))?;
        Ok(serde_json::from_str(&health)?)
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id())?;
        let pid = Pid::from_raw(pid).context("pid 0")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits for the process to end; returns `None` if it does not within this time.
    pub(crate) fn wait(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(None)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until the server prints its address, and returns it.
fn listening_address(child: &mut Child) -> Result<SocketAddr> {
    let output = child.stdout.take().context("no standard output")?;
    let (found, wait) = mpsc::sync_channel(1);
    thread::spawn(move || {
        // Reads to the end, so that the pipe never fills.
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("framecast listens on http://") {
                let _ = found.try_send(address.to_owned());
            }
        }
    });
    let address = wait
        .recv_timeout(PATIENCE)
        .context("the server does not say where it listens")?;
    address.parse().context(address)
}

/// Reads the head of a response, byte by byte, so that nothing behind it is consumed.
pub(crate) fn read_head(socket: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte)? == 0 {
            bail!("the end after {:?}", String::from_utf8_lossy(&head));
        }
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Reads a response, and returns its status and its body.
pub(crate) fn read_answer(socket: &mut TcpStream) -> Result<(u16, String)> {
    let head = read_head(socket)?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let mut lines = head.lines().map(str::to_ascii_lowercase);
    let length = lines.find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    socket.read_exact(&mut body)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
