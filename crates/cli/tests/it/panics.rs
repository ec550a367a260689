//! Behaviour of the server after a panic of a shard.
//!
//! No input is known that makes a shard panic. So these tests have strace make the next
//! `epoll_wait` of a shard fail. A shard's event loop panics if that call fails.

use std::{fs, process::Command};

use framecast_test_support::{program::Program, tools::Tool};

use crate::{process::Process, system_calls::can_trace};

/// Makes every `epoll_wait` of a thread fail, by a strace that is attached to it. Returns the
/// strace: when it is dropped, the calls succeed again. Returns `None` if the thread may not be
/// traced.
fn refuse_waits(thread: &str) -> Option<Program> {
    const WAITS: &str = "epoll_wait,epoll_pwait,epoll_pwait2";
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "-p", thread]);
    strace.args(["-e", &format!("inject={WAITS}:error=EBADF")]);
    let strace = Program::start(&mut strace);
    let is_attached = strace.reported("whether it is attached", |line| match line {
        _ if line.ends_with(" attached") => Some(true),
        _ if line.contains("not permitted") => Some(false),
        _ => None,
    });
    is_attached.then_some(strace)
}

/// Returns the id of the thread called `name` in a process.
fn thread(process: u32, name: &str) -> String {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut threads = threads.map(|thread| thread.unwrap().path());
    let found = threads.find(|path| fs::read_to_string(path.join("comm")).unwrap().trim() == name);
    let found = found.unwrap();
    found.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn after_a_panic_of_a_shard_all_clients_are_closed_with_a_code_and_the_exit_status_is_70() {
    if !can_trace() {
        return;
    }
    for broken in [0, 1] {
        let server = Process::serve(&["--shards", "2"]);
        // The server hands the connections to its two shards in turn.
        let mut clients = [(); 2].map(|()| server.connect("/echo"));
        let thread = thread(server.program.id(), &format!("shard-{broken}"));
        // strace makes the thread's `epoll_wait` fail, which makes the shard panic.
        let Some(_strace) = refuse_waits(&thread) else {
            Tool::Strace.fail("it may not trace a thread of another process");
        };
        let codes = clients.each_mut().map(|client| client.read_close().0);
        // "Internal error" for the client of the broken shard, "restarting" for the other one.
        assert_eq!(codes[broken], 1011);
        assert_eq!(codes[1 - broken], 1012);
        drop(clients);
        assert_eq!(server.exit_code(), Some(70));
    }
}
