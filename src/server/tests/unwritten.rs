//! Tests of upgrades whose response can't be written yet, because the client does not read.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::{mpsc, watch},
};

use crate::{
    hub::shard::Shard,
    server::{
        http,
        http::{Client, Lifetime},
        listener::Entrance,
        site::Site,
        tests::{
            handshake,
            served::{Served, eventually},
        },
        underway,
    },
};

/// Connects a client to the server's only shard. The stream takes 64 bytes of a response, and hyper
/// keeps the rest of it.
fn connect(server: &Served) -> DuplexStream {
    let (client, stream) = tokio::io::duplex(64);
    let site = Arc::clone(&server.site);
    server.hub.run_on(0, move |shard| {
        shard.spawn(serve(Rc::clone(shard), stream, site));
    });
    client
}

/// Serves a client whose connection is this stream, until it ends or becomes a WebSocket.
async fn serve(shard: Rc<Shard>, stream: DuplexStream, site: Arc<Site>) {
    // The server does not drain.
    let (_end, is_ending) = watch::channel(false);
    let (requests, _running, _) = underway::requests();
    let (open, _all_closed) = mpsc::channel(1);
    let lifetime = Lifetime {
        is_ending,
        requests,
        _open: open,
    };
    let client = Client {
        stream,
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        entrance: Entrance {
            web_socket_scheme: "ws",
        },
        held: site.hub.budget().charge(0),
    };
    http::serve(shard, client, site, lifetime).await;
}

const OPTIONS: &[u8] = b"OPTIONS /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";

#[tokio::test]
async fn a_100_is_never_written_inside_an_earlier_response() {
    let server = Served::start(1);
    let mut client = connect(&server);
    client.write_all(OPTIONS).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'H', "of HTTP");
    // Behind a body that is thrown away, hyper reads on before the response is written, and answers
    // if that response has no body.
    let upgrade = handshake("/echo").replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    let rest = format!("body.{upgrade}");
    client.write_all(rest.as_bytes()).await.unwrap();
    eventually("the connection is made", || {
        server.hub.metrics().connections == 1
    });
    let mut received = String::new();
    while !received.contains("HTTP/1.1 101 ") {
        received.push(char::from(client.read_u8().await.unwrap()));
    }
    let heads: Vec<_> = received.split("\r\n\r\n").collect();
    assert_eq!(heads.len(), 3, "{received}");
    assert!(heads[0].starts_with("TTP/1.1 204 "), "{received}");
    assert_eq!(heads[1..], ["HTTP/1.1 100 Continue", "HTTP/1.1 101 "]);
}
