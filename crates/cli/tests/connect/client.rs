//! The binary `framecast connect` with its three streams, and a listener to which it connects.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Waits for `future`, which is described by `what`. Panics after 20 s, so that a test fails
/// instead of hanging.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let bounded = timeout(Duration::from_secs(20), future).await;
    bounded.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Returns a listener on loopback, and the URL of its `/ws`.
pub(crate) async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    (listener, url)
}

/// Accepts a connection, and reads the head of its request. Returns the connection and the head.
pub(crate) async fn request(listener: &TcpListener) -> (TcpStream, String) {
    let (mut socket, _) = within("a connection", listener.accept()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a request", socket.read_u8()).await.unwrap());
    }
    (socket, String::from_utf8(head).unwrap())
}

/// A running `framecast connect`, which is killed when this is dropped.
pub(crate) struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: BufReader<ChildStderr>,
}

/// The exit status and the output of a client that has ended.
pub(crate) struct Exit {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Client {
    /// Starts `framecast connect` with `arguments`.
    pub(crate) fn connect(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_framecast"))
            .arg("connect")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().map(BufReader::new),
            stderr: BufReader::new(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Writes `text` to the standard input of the client.
    pub(crate) async fn type_in(&mut self, text: &str) {
        self.type_in_bytes(text.as_bytes()).await;
    }

    /// Writes `bytes` to the standard input of the client.
    pub(crate) async fn type_in_bytes(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        within("the input", stdin.write_all(bytes)).await.unwrap();
    }

    /// Ends the standard input of the client.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Closes the reading end of the client's standard output.
    pub(crate) fn close_output(&mut self) {
        self.stdout = None;
    }

    /// Sends SIGINT to the client, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        let id = self.child.id().unwrap().cast_signed();
        kill_process(Pid::from_raw(id).unwrap(), Signal::INT).unwrap();
    }

    /// Reads the next line of the client's standard output.
    pub(crate) async fn printed(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().unwrap();
        within("a printed line", stdout.read_line(&mut line))
            .await
            .unwrap();
        line
    }

    /// Reads the client's standard error up to the first line that contains `text`, and returns
    /// that line.
    pub(crate) async fn noticed(&mut self, text: &str) -> String {
        let found = async {
            loop {
                let mut line = String::new();
                let read = self.stderr.read_line(&mut line).await;
                assert!(read.unwrap() > 0, "the client never wrote `{text}`");
                if line.contains(text) {
                    return line;
                }
            }
        };
        within(text, found).await
    }

    /// Waits for the exit of the client. Returns its status and its output, without the lines that
    /// were read before.
    pub(crate) async fn exit(mut self) -> Exit {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        if let Some(mut pipe) = self.stdout {
            within("the end of stdout", pipe.read_to_string(&mut stdout))
                .await
                .unwrap();
        }
        let read = self.stderr.read_to_string(&mut stderr);
        within("the end of stderr", read).await.unwrap();
        let status = within("the exit", self.child.wait()).await.unwrap();
        Exit {
            status,
            stdout,
            stderr,
        }
    }
}
