//! Runs `connect`, `publish` and `load` against a server that listens at only one of the addresses
//! of its name.

use std::{
    net::{SocketAddr, TcpListener, ToSocketAddrs as _},
    process::Command,
};

use framecast_test_support::{PATIENCE, TestServer, program::Program};

use crate::process::FRAMECAST;

/// Returns the last of the addresses that `localhost` has on this machine, with port 0.
fn last_of_localhost() -> SocketAddr {
    let mut addresses = ("localhost", 0).to_socket_addrs().unwrap().rev();
    // Some machines have a name for `::1`, and no IPv6.
    let usable = addresses.find(|address| TcpListener::bind(address).is_ok());
    usable.unwrap()
}

// The tests of `dial` and of `load`'s look-up have names with several addresses everywhere; this
// one has them where `localhost` has.
#[test]
fn every_client_reaches_a_server_at_the_last_address_of_its_name() {
    let server = TestServer::with(|config| config.listen = last_of_localhost());
    let port = server.address.port();
    let (ws, http) = (
        format!("ws://localhost:{port}/echo"),
        format!("http://localhost:{port}"),
    );
    for arguments in [
        &["connect", &ws][..],
        &["publish", "--url", &http, "--topic", "cats", "meow"],
        &["load", "echo", "--url", &ws, "--duration", "50ms"],
    ] {
        let mut program = Program::start(Command::new(FRAMECAST).args(arguments));
        program.end_input();
        let status = program.wait(PATIENCE);
        assert!(
            status.is_some_and(|status| status.success()),
            "{}",
            program.transcript()
        );
    }
}
