//! Settings of the program, how it starts, and how it ends.

use std::{
    fs,
    io::Read,
    net::SocketAddr,
    process::{Command, Stdio},
    thread,
};

use framecast_test_support::{
    Client, PATIENCE,
    frames::{binary, close},
    program::Program,
};
use rustix::process::{Pid, Signal, kill_process};

pub(crate) const FRAMECAST: &str = env!("CARGO_BIN_EXE_framecast");

/// A running `framecast serve`, whose address is known.
pub(crate) struct Process {
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts a command that runs `framecast serve`. Returns when the server has printed its
    /// address.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::of(Program::start(command))
    }

    /// Starts `framecast serve` with `stderr` as its standard error, for example the writing end of
    /// a pipe whose reading end the test keeps.
    pub(crate) fn with_stderr(arguments: &[&str], stderr: impl Into<Stdio>) -> Self {
        let address = ["serve", "--listen", "127.0.0.1:0"];
        let mut command = Command::new(FRAMECAST);
        command.args(address).args(arguments);
        Self::of(Program::with_own_output(
            command.stdout(Stdio::piped()).stderr(stderr),
        ))
    }

    /// Waits until the program has printed its address.
    fn of(program: Program) -> Self {
        let address = program.printed("the address", |line| {
            line.strip_prefix("framecast listens on http://")?
                .parse()
                .ok()
        });
        Self { program, address }
    }

    /// Starts `framecast serve` on a free port. A HUP ends it, even if the tests run under `nohup`
    /// and so ignore this signal.
    pub(crate) fn serve(arguments: &[&str]) -> Self {
        let program = ["--default-signal=HUP", FRAMECAST];
        let address = ["serve", "--listen", "127.0.0.1:0"];
        let mut command = Command::new("env");
        command.args(program).args(address).args(arguments);
        Self::start(&mut command)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// Returns the peak of the resident memory so far, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    /// Returns the resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// Returns the number in the line `name` of `/proc/PID/status`.
    fn status_kib(&self, name: &str) -> u64 {
        let size = self.status(name);
        size.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Returns the text behind `name` in `/proc/PID/status`.
    pub(crate) fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.program.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().to_owned()
    }

    pub(crate) fn connect(&self, path: &str) -> Client {
        Client::dial(self.address).upgrade(path)
    }

    /// Waits for the end of the process. Returns its exit status, or `None` if a signal has killed
    /// it.
    pub(crate) fn exit_code(mut self) -> Option<i32> {
        self.program
            .wait(PATIENCE)
            .expect("the server exits")
            .code()
    }
}

/// Runs `framecast` with these arguments until it ends by itself. Returns its exit status, standard
/// output and standard error.
#[track_caller]
pub(crate) fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut program = Program::start(Command::new(FRAMECAST).args(arguments));
    let status = program.wait(PATIENCE);
    let status = status.unwrap_or_else(|| panic!("{arguments:?} does not end"));
    (status.code(), program.output(), program.errors())
}

/// Asserts that a start with `arguments` fails with exit status 2 (a wrong setting), and prints one
/// line on standard error, which begins with `beginning`.
#[track_caller]
fn refused(arguments: &[&str], beginning: &str) {
    fails(arguments, 2, beginning);
}

/// Asserts that a start with `arguments` fails with exit status `status`, and prints one line on
/// standard error, which begins with `beginning`.
#[track_caller]
fn fails(arguments: &[&str], status: i32, beginning: &str) {
    let (code, output, stderr) = run(arguments);
    assert_eq!(code, Some(status), "{arguments:?}: {stderr}");
    assert!(
        stderr.starts_with(beginning),
        "{stderr:?} does not begin with {beginning:?}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
    assert_eq!(output, "");
}

#[test]
fn a_wrong_setting_stops_the_start_with_one_line_that_names_it() {
    refused(
        &["serve", "--listen", "0.0.0.0:0"],
        "framecast: listen: anybody who reaches",
    );
    refused(
        &["serve", "--listen", "[::]:0"],
        "framecast: listen: anybody who reaches",
    );
    refused(
        &["serve", "--listen", "here"],
        "framecast: invalid value 'here' for '--listen",
    );
    fails(
        &["serve", "--listen", "192.0.2.1:1", "--allow-anonymous"],
        1,
        "framecast: listen: 192.0.2.1:1",
    );
    refused(
        &["serve", "--shards", "0"],
        "framecast: invalid value '0' for '--shards <N>': not a whole number from 1\n",
    );
    refused(
        &["serve", "--shards", "5000"],
        "framecast: shards: 5000 is not from 1 to 1024",
    );
    refused(
        &["serve", "--max-message-bytes", "0"],
        "framecast: max-message-bytes: 0 is not",
    );
    refused(
        &["serve", "--max-message-bytes", "64MB"],
        "framecast: invalid value '64MB' for '--max-message-bytes <SIZE>': not a size such as 65536, \
         64KiB, 200MiB or 1GiB\n",
    );
    refused(
        &["serve", "--max-fragments", "0"],
        "framecast: max-fragments: must be at least 1",
    );
    refused(
        &["serve", "--ping-after", "soon"],
        "framecast: invalid value 'soon' for '--ping-after",
    );
    refused(
        &["serve", "--pong-within", "0s"],
        "framecast: pong-within: must be from 1 ms",
    );
    refused(
        &["serve", "--allow-origin", "app"],
        "framecast: allow-origin: \"app\" has no scheme; https://app is meant\n",
    );
    for host in ["", "http://app.example", "app.example:80", "*.example"] {
        let expected = format!("framecast: allow-host: {host:?} is not a host such as app.example");
        refused(&["serve", "--allow-host", host], &expected);
    }
    refused(
        &["serve", "--public-url", "app.example"],
        "framecast: public-url: \"app.example\" begins with neither http:// nor https://;",
    );
    for log in ["info,=x", "bogus", "info,", "a[b]=debug", "a=loud"] {
        refused(&["serve", "--log", log], "framecast: log: ");
    }
    refused(
        &["serve", "--nonsense"],
        "framecast: unexpected argument '--nonsense'",
    );
    fails(
        &["serve", "--config", "no such file"],
        1,
        "framecast: config: no such file: No such file",
    );
}

#[test]
fn a_budget_that_is_too_small_is_refused_with_the_smallest_allowed_one() {
    // `documents.rs` checks this number against the formula of `docs/memory.md`.
    refused(
        &["serve", "--memory-budget", "1MiB", "--shards", "2"],
        "framecast: memory-budget: must be at least 2905428 (2838KiB) with",
    );
}

#[test]
fn a_negative_value_is_refused_with_the_name_of_its_option() {
    for (arguments, expected) in [
        (
            &["serve", "--memory-budget", "-1"][..],
            "'-1' for '--memory-budget <SIZE>': not a size such as 65536, 64KiB, 200MiB or 1GiB\n",
        ),
        (
            &["serve", "--max-behind", "-5s"],
            "'-5s' for '--max-behind <TIME>': not a time such as 250ms, 5s or 2m\n",
        ),
        (
            &["serve", "--shards", "-1"],
            "'-1' for '--shards <N>': not a whole number from 1\n",
        ),
        (
            &["serve", "--listen", "-1"],
            "'-1' for '--listen <ADDRESS:PORT>': not an IP address and a port such as 127.0.0.1:8080\n",
        ),
        (
            &["load", "echo", "--rate", "-0.5"],
            "'-0.5' for '--rate <N>': not a number from above 0 to 1e9\n",
        ),
        (
            &["load", "idle", "--min-ratio", "-1"],
            "'-1' for '--min-ratio <RATIO>': not a number from 0 to 1\n",
        ),
    ] {
        refused(arguments, &format!("framecast: invalid value {expected}"));
    }
    refused(
        &["serve", "--shards", "--deflate"],
        "framecast: a value is required for '--shards <N>' but none was supplied\n",
    );
}

#[test]
fn a_wrong_line_in_the_file_is_named_by_file_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("framecast.toml");
    let name = file.to_str().unwrap();
    let cases = [
        (
            "listen = '127.0.0.1:0'\n\nlisen = 1\n",
            3,
            "unknown field `lisen`",
        ),
        (
            "shards = 'two'\n",
            1,
            "invalid type: string \"two\", expected a whole number from 1\n",
        ),
        ("shards = 0\n", 1, "0 is not a whole number from 1\n"),
        (
            "\nmax-message-bytes = -1\n",
            2,
            "-1 is not a size such as 65536, 64KiB, 200MiB or 1GiB\n",
        ),
        (
            "max-fragments = 5000000000\n",
            1,
            "5000000000 is not a whole number from 0 to 4294967295\n",
        ),
        (
            "deflate-min-bytes = '64k'\n",
            1,
            "\"64k\" is not a size such as",
        ),
        ("ping-after = 'soon'\n", 1, "\"soon\" is not a time"),
        (
            "ping-after = 5\n",
            1,
            "invalid type: integer `5`, expected a time such as 250ms, 5s or 2m\n",
        ),
        ("shards = \n", 1, ""),
    ];
    for (text, line, reason) in cases {
        fs::write(&file, text).unwrap();
        refused(
            &["serve", "--config", name],
            &format!("framecast: config: {name}, line {line}: {reason}"),
        );
    }
    fs::write(&file, "max-fragments = 0\n").unwrap();
    refused(
        &["serve", "--config", name],
        "framecast: max-fragments: must be",
    );
}

#[test]
fn the_file_sets_what_the_command_line_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("framecast.toml");
    fs::write(
        &file,
        "listen = '192.0.2.1:1'\nshards = 3\nmax-message-bytes = '1KiB'\n",
    )
    .unwrap();
    let server = Process::serve(&[
        "--config",
        file.to_str().unwrap(),
        "--max-message-bytes",
        "2KiB",
    ]);
    let mut http = Client::dial(server.address);
    http.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(http.read_answer().body.contains("\"shards\":3,"));
    let mut echo = server.connect("/echo");
    echo.sends(binary([7; 2048]));
    echo.receives(binary([7; 2048]));
    echo.sends(binary([7; 2049]));
    echo.receives(close(1009, "message too big"));
}

#[test]
fn allowed_hosts_and_the_public_url_are_set_by_options_and_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("framecast.toml");
    fs::write(
        &file,
        "allow-host = ['a.example', 'b.example']\npublic-url = 'https://c.example'\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let options = ["--allow-host", "a.example", "--allow-host", "b.example"];
    let public = ["--public-url", "https://c.example"];
    for settings in [&["--config", file][..], &[&options[..], &public].concat()] {
        let server = Process::serve(settings);
        for (host, status) in [
            ("a.example", 200),
            ("b.example", 200),
            ("c.example", 200),
            ("d.example", 421),
        ] {
            let mut client = Client::dial(server.address);
            client.send(format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
            assert_eq!(client.read_answer().status, status, "{host}");
        }
    }
}

#[test]
fn help_and_version_are_printed() {
    let (_, help, _) = run(&["serve", "--help"]);
    for option in [
        "--listen",
        "--shards",
        "--max-message-bytes",
        "--max-fragments",
        "--config",
        "--log",
    ] {
        assert!(help.contains(option), "{option} in {help}");
    }
    let (_, version, _) = run(&["--version"]);
    assert_eq!(
        version,
        concat!("framecast ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_closed_standard_output_does_not_end_the_server() {
    let mut child = Command::new(FRAMECAST)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    let mut log = child.stderr.take().unwrap();
    // The server must not panic, whether it prints its address before the signal or not.
    while kill_process(pid, Signal::TERM).is_ok() && child.try_wait().unwrap().is_none() {
        thread::yield_now();
    }
    let mut stderr = String::new();
    log.read_to_string(&mut stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
}
