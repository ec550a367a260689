//! Runs the program as a server and as a load generator.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) const FRAMECAST: &str = env!("CARGO_BIN_EXE_framecast");

/// A running `framecast serve` with one shard. A drop kills it.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(FRAMECAST)
            .args(["serve", "--listen", "127.0.0.1:0", "--shards", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim_end().rsplit('/').next().unwrap().to_owned();
        Self { child, address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// Sends SIGTERM, so that the server drains and ends.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the command that puts the server at `url` under the load of scenario `kind`.
fn load(kind: &str, url: &str) -> Command {
    let mut command = Command::new(FRAMECAST);
    command.args(["load", kind, "--url", url]);
    command
}

/// The output of a finished run of `framecast load`.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The JSON that `--json` has written, or `null` if the run could not be finished.
    pub(crate) result: Value,
}

impl Run {
    /// Runs scenario `kind` of `framecast load` against `url`, for 300 ms unless `arguments` have a
    /// `--duration`.
    pub(crate) fn of(kind: &str, url: &str, arguments: &[&str]) -> Self {
        Self::of_command(load(kind, url), arguments)
    }

    pub(crate) fn of_command(command: Command, arguments: &[&str]) -> Self {
        Self::disturbed(command, arguments, || {})
    }

    /// Runs `command` with `arguments`, for 300 ms unless these have a `--duration`. Calls
    /// `disturb` when the measured time has begun.
    pub(crate) fn disturbed(
        mut command: Command,
        arguments: &[&str],
        disturb: impl FnOnce(),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("result.json");
        command.args(arguments).arg("--json").arg(&json);
        if !arguments.contains(&"--duration") {
            command.args(["--duration", "300ms"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut stderr = String::new();
        // Without a terminal, the program prints a line about its progress when the measured time
        // begins.
        while !stderr.lines().any(|line| line.starts_with("measuring ")) {
            if lines.read_line(&mut stderr).unwrap() == 0 {
                break;
            }
        }
        disturb();
        lines.read_to_string(&mut stderr).unwrap();
        let Output { status, stdout, .. } = child.wait_with_output().unwrap();
        let json = fs::read_to_string(json).unwrap_or_default();
        let result = match json.as_str() {
            // A run that can not be finished writes no JSON.
            "" => Value::Null,
            json => serde_json::from_str(json).unwrap(),
        };
        Self {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr,
            result,
        }
    }

    /// Runs scenario `kind` for 2 s against `path` of a server that gets SIGTERM when the measured
    /// time has begun.
    pub(crate) fn of_server_that_ends(kind: &str, path: &str, arguments: &[&str]) -> Self {
        let server = Server::start();
        let pid = server.child.id().to_string();
        let arguments = [&["--duration", "2s", "--pid", &pid][..], arguments].concat();
        let command = load(kind, &server.url(path));
        Self::disturbed(command, &arguments, || server.terminate())
    }

    /// Returns the whole number in field `name` of the result, such as `connections.opened`.
    #[track_caller]
    pub(crate) fn count(&self, name: &str) -> u64 {
        let value = self.result.pointer(&format!("/{}", name.replace('.', "/")));
        let value = value.unwrap_or_else(|| panic!("no {name} in {}{}", self.result, self.stderr));
        value.as_u64().unwrap_or_else(|| panic!("{name}: {value}"))
    }

    /// Returns the number in field `name` of the result, such as `latency_us.max`.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> f64 {
        let value = self.result.pointer(&format!("/{}", name.replace('.', "/")));
        value
            .and_then(Value::as_f64)
            .unwrap_or_else(|| panic!("no {name} in {}", self.result))
    }

    /// Returns how many messages are missing, duplicate, out of order and corrupted, in this order.
    #[track_caller]
    pub(crate) fn faults(&self) -> [u64; 4] {
        ["gaps", "duplicates", "out_of_order", "corrupted"].map(|name| self.count(name))
    }

    /// Asserts that the run succeeded, without faults, and that all messages have arrived.
    #[track_caller]
    pub(crate) fn assert_whole(&self) {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        assert_eq!(self.faults(), [0; 4]);
        assert!(self.count("received") > 0, "{}", self.result);
        assert_eq!(self.count("received"), self.count("expected"));
        assert!((self.number("delivery_ratio") - 1.0).abs() < f64::EPSILON);
    }

    /// Returns the last line of standard error, which is the reason if the run failed.
    pub(crate) fn error_line(&self) -> &str {
        self.stderr.lines().last().unwrap_or_default()
    }
}
