//! Tests of the memory that the server needs for clients that flood it, or send a short message
//! that inflates to a very long one.

use std::{
    io::{ErrorKind, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use framecast_test_support::{
    Client, PATIENCE,
    deflate::{OFFER, inflated, zeros},
    frame, text,
};
use socket2::{Domain, Socket, Type};

use crate::process::Process;

/// Connects a WebSocket with small socket buffers.
fn connect(server: &Process, path: &str) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Small buffers, so that the flood waits in the server and not in the kernel.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_send_buffer_size(16 * 1024).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Client { stream }.upgrade(path)
}

/// Sends `piece` again and again until the server takes no more of it, or `most` bytes are sent.
fn flood(client: &Client, piece: &[u8], most: usize) {
    let mut stream = &client.stream;
    let patience = Some(Duration::from_millis(300));
    stream.set_write_timeout(patience).unwrap();
    let mut sent = 0;
    while sent < most {
        match stream.write(&piece[sent % piece.len()..]) {
            Ok(len) => sent += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn peers_that_flood_and_do_not_read_cost_little_memory_and_do_not_disturb_others() {
    const CLIENTS: usize = 16;
    /// Most bytes that a client sends.
    const MOST: usize = 2 * 1024 * 1024;
    /// Most memory for a client: twice the outbox at which the server stops reading a peer, and the
    /// peer's buffers.
    const KIB_PER_CLIENT: u64 = 1024;
    let floods = [
        ("large", "/echo", frame(0x82, &[7; 60_000])),
        ("small", "/echo", text("small").repeat(1000)),
        ("empty", "/echo", text("").repeat(1000)),
        (
            "raw",
            "/echo/raw",
            // Messages of two empty fragments.
            [frame(0x01, b""), frame(0x80, b"")].concat().repeat(500),
        ),
        ("pings", "/echo", frame(0x89, &[7; 125]).repeat(100)),
    ];
    for (name, path, piece) in floods {
        let server = Process::serve(&["--shards", "2"]);
        let mut bystander = connect(&server, "/echo");
        let clients: Vec<Client> = (0..CLIENTS).map(|_| connect(&server, path)).collect();
        let before = server.resident_kib();
        thread::scope(|scope| {
            for client in &clients {
                scope.spawn(|| flood(client, &piece, MOST));
            }
            for number in 0..100 {
                bystander.send(&text(&number.to_string()));
                assert_eq!(bystander.read_text(), number.to_string());
            }
        });
        let grown = server.resident_kib().saturating_sub(before);
        let most = CLIENTS as u64 * KIB_PER_CLIENT;
        assert!(
            grown <= most,
            "{name}: {grown} KiB more for {CLIENTS} clients"
        );
        bystander.send(&text("still here"));
        assert_eq!(bystander.read_text(), "still here");
    }
}

#[test]
fn a_compressed_gibibyte_costs_no_more_memory_than_the_message_limit() {
    const CLIENTS: usize = 8;
    /// Most memory for all clients together, because they send one after the other: receive
    /// buffers, the inflated message and zlib's state, for each shard and with a margin.
    const MOST_KIB: u64 = 8 * 1024;
    let server = Process::serve(&["--shards", "2", "--deflate", "--max-message-bytes=1048576"]);
    let bomb = frame(0xC2, &zeros(1 << 30));
    let connect = || Client::dial(server.address).upgrade_with("/echo", OFFER);
    let mut bystander = connect();
    // A message of the largest size that the server accepts, so that `before` includes the memory
    // that such a message needs.
    let mebibyte = frame(0xC2, &zeros(1 << 20));
    bystander.send(&mebibyte);
    assert!(inflated(bystander.read_frame()) == (0x82, vec![0; 1 << 20]));
    let before = server.peak_kib();
    for _ in 0..CLIENTS {
        let mut client = connect();
        client.send(&bomb);
        assert_eq!(client.read_close(), (1009, "message too big".to_owned()));
        client.expect_end();
    }
    let grown = server.peak_kib() - before;
    assert!(grown <= MOST_KIB, "{grown} KiB more");
    bystander.send(&text("still here"));
    assert_eq!(bystander.read_text(), "still here");
}
