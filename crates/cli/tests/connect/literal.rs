//! Tests of the bytes that the client sends, and of its reaction to bytes of the server. The server
//! is a socket to which the tests write literal bytes.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::client::{Client, listen, request, within};

/// Returns the `Sec-WebSocket-Key` of a request.
pub(crate) fn key(head: &str) -> &str {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    let key = headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    key.unwrap().1
}

/// Returns a 101 with this accept value and `headers`, each of which must end with CRLF.
pub(crate) fn switching_protocols(accept: &str, headers: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n{headers}\r\n"
    )
}

/// Returns a connected client and the server's end of its socket. The server has sent the bytes
/// `first` together with the 101.
async fn connected(first: &[u8]) -> (Client, TcpStream) {
    connected_with(&[], "", first).await
}

/// Starts a client with `options`, and answers its handshake with a 101. The 101 has further
/// `headers`, each of which must end with CRLF, and the bytes `first` follow it. Returns the client
/// and the server's end of the connection.
pub(crate) async fn connected_with(
    options: &[&str],
    headers: &str,
    first: &[u8],
) -> (Client, TcpStream) {
    let (listener, url) = listen().await;
    let client = Client::connect(&[&[url.as_str()], options].concat());
    let (mut socket, head) = request(&listener).await;
    let answer = switching_protocols(&derive_accept_key(key(&head).as_bytes()), headers);
    let answer = [answer.as_bytes(), first].concat();
    within("the answer", socket.write_all(&answer))
        .await
        .unwrap();
    (client, socket)
}

/// Reads one frame from the client. Returns its first byte and its unmasked payload.
pub(crate) async fn masked_frame(socket: &mut TcpStream) -> (u8, Vec<u8>) {
    let [first, length] = bytes(socket).await;
    assert_eq!(length & 0x80, 0x80, "a frame from a client is masked");
    let length = match length & 0x7F {
        126 => u64::from(u16::from_be_bytes(bytes(socket).await)),
        127 => u64::from_be_bytes(bytes(socket).await),
        length => u64::from(length),
    };
    let mask: [u8; 4] = bytes(socket).await;
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    within("a payload", socket.read_exact(&mut payload))
        .await
        .unwrap();
    let unmasked = payload.iter().zip(mask.iter().cycle());
    (first, unmasked.map(|(byte, mask)| byte ^ mask).collect())
}

/// Asserts that a connected client has refused what the server sent: it sends a Close with this
/// code, and says why it is disconnected. `what` names the refused bytes.
pub(crate) async fn expect_refusal(
    (mut client, mut socket): (Client, TcpStream),
    code: u16,
    what: &str,
) {
    let close = (0x88, code.to_be_bytes().to_vec());
    assert_eq!(masked_frame(&mut socket).await, close, "{what}");
    client.noticed("disconnected: the server sent").await;
}

/// Reads the next `N` bytes from the client.
async fn bytes<const N: usize>(socket: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    within("a frame", socket.read_exact(&mut bytes))
        .await
        .unwrap();
    bytes
}

#[tokio::test]
async fn the_request_has_the_headers_that_the_rfc_requires() {
    let (listener, url) = listen().await;
    let _client = Client::connect(&[&url]);
    let (_, head) = request(&listener).await;
    let address = listener.local_addr().unwrap();
    assert!(head.starts_with("GET /ws HTTP/1.1\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    for header in [
        &format!("host: {address}"),
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
    ] {
        assert!(head.contains(&format!("\r\n{header}\r\n")), "{header}");
    }
}

#[tokio::test]
async fn topics_are_appended_to_the_query() {
    let (listener, url) = listen().await;
    let url = format!("{url}?token=1");
    let _client = Client::connect(&[&url, "--topic", "cats", "--topic", "a&b c"]);
    let (_, head) = request(&listener).await;
    let line = "GET /ws?token=1&topic=cats&topic=a%26b+c HTTP/1.1\r\n";
    assert!(head.starts_with(line), "{head}");
}

#[tokio::test]
async fn what_is_not_ascii_in_the_url_is_percent_encoded() {
    let (listener, _) = listen().await;
    let address = listener.local_addr().unwrap();
    let url = format!("WS://{address}/é?topic=日本");
    let _client = Client::connect(&[&url, "--topic", "ž"]);
    let (_, head) = request(&listener).await;
    let line = "GET /%C3%A9?topic=%E6%97%A5%E6%9C%AC&topic=%C5%BE HTTP/1.1\r\n";
    assert!(head.starts_with(line), "{head}");
}

#[tokio::test]
async fn a_host_of_the_command_line_replaces_that_of_the_url() {
    let (listener, url) = listen().await;
    let added = [
        "--header",
        "Host: a.example",
        "--header",
        "Origin: http://é",
    ];
    let _client = Client::connect(&[&[url.as_str()], &added[..]].concat());
    let (_, head) = request(&listener).await;
    let head = head.to_ascii_lowercase();
    assert_eq!(head.matches("\r\nhost: ").count(), 1);
    assert!(head.contains("\r\nhost: a.example\r\n"), "{head}");
    assert!(head.contains("\r\norigin: http://é\r\n"), "{head}");
}

#[tokio::test]
async fn a_subprotocol_that_the_command_line_offers_is_accepted() {
    let offer = ["--header", "Sec-WebSocket-Protocol: a, b"];
    let chosen = "Sec-WebSocket-Protocol: b\r\n";
    let (mut client, _socket) = connected_with(&offer, chosen, b"\x81\x02hi").await;
    assert_eq!(client.printed().await, "hi\n");
    let (client, _socket) = connected_with(&[], chosen, b"").await;
    let exit = client.exit().await;
    let reason = "framecast: the server accepted what was not offered (sec-websocket-protocol)";
    assert_eq!(exit.stderr.lines().last(), Some(reason));
}

#[tokio::test]
async fn a_line_is_one_masked_text_frame() {
    let (mut client, mut socket) = connected(b"").await;
    client.type_in("hi\n").await;
    // FIN and Text.
    assert_eq!(masked_frame(&mut socket).await, (0x81, b"hi".to_vec()));
}

#[tokio::test]
async fn a_frame_that_arrives_with_the_101_is_not_lost() {
    let (mut client, _socket) = connected(b"\x81\x05hello").await;
    assert_eq!(client.printed().await, "hello\n");
}

#[tokio::test]
async fn fragments_are_one_message_and_a_ping_between_them_is_answered() {
    // A text in two fragments, cut after the first byte of a euro sign, with a Ping between them.
    // The server sends byte by byte.
    let frames = b"\x01\x02<\xe2\x89\x04ping\x80\x03\x82\xac>";
    let (mut client, mut socket) = connected(b"").await;
    for byte in frames {
        within("a byte", socket.write_all(&[*byte])).await.unwrap();
    }
    assert_eq!(masked_frame(&mut socket).await, (0x8a, b"ping".to_vec()));
    assert_eq!(client.printed().await, "<€>\n");
}

#[tokio::test]
async fn every_ping_is_answered_in_order() {
    // Four Pings, the third one without a payload.
    let (_client, mut socket) = connected(b"\x89\x01a\x89\x01b\x89\0\x89\x01c").await;
    for payload in ["a", "b", "", "c"] {
        let pong = (0x8a, payload.as_bytes().to_vec());
        assert_eq!(masked_frame(&mut socket).await, pong);
    }
}

#[tokio::test]
async fn a_close_frame_is_answered_once_with_its_code() {
    // Code 4500 and a reason.
    let (client, mut socket) = connected(b"\x88\x05\x11\x94bye").await;
    let reply = masked_frame(&mut socket).await;
    assert_eq!(reply, (0x88, b"\x11\x94bye".to_vec()));
    // Nothing but the end of the socket follows: the client does not reply twice.
    let mut rest = Vec::new();
    within("the end", socket.read_to_end(&mut rest))
        .await
        .unwrap();
    assert_eq!(rest, b"");

    let exit = client.exit().await;
    let last = exit.stderr.lines().last().unwrap();
    assert_eq!(last, "framecast: closed by the server with code 4500 (bye)");
    assert_eq!(exit.status.code(), Some(1));
}

#[tokio::test]
async fn the_code_1014_of_a_gateway_is_answered_and_shown_like_any_other() {
    let (mut client, mut socket) = connected(b"\x88\x05\x03\xF6bye").await;
    let reply = masked_frame(&mut socket).await;
    assert_eq!(reply, (0x88, b"\x03\xF6bye".to_vec()));
    drop(socket);
    client.noticed("with code 1014 (bye)").await;
}

#[tokio::test]
async fn a_protocol_error_of_the_server_is_answered_by_its_close_code() {
    // The name of the error, the frames, and the close code.
    let errors: [(&str, &[u8], u16); 12] = [
        ("invalid UTF-8", b"\x81\x01\xff", 1007),
        (
            "invalid UTF-8 in a frame of which most bytes have not arrived yet",
            b"\x81\x7E\xFF\xFFok\xF0\x9F\x98x",
            1007,
        ),
        (
            "a message that ends inside of a character",
            b"\x01\x02\xE2\x82\x80\x00",
            1007,
        ),
        ("a continuation of nothing", b"\x80\x01x", 1002),
        ("a masked frame", b"\x81\x82\0\0\0\0hi", 1002),
        (
            "a compressed message, which was not agreed on",
            b"\xC1\x07\xF2\x48\xCD\xC9\xC9\x07\x00",
            1002,
        ),
        ("a Ping of 126 bytes", b"\x89\x7E\x00\x7E", 1002),
        (
            "a message of 16 MiB and 1 byte",
            b"\x82\x7F\0\0\0\0\x01\0\0\x01",
            1009,
        ),
        ("a Close with code 1006", b"\x88\x02\x03\xEE", 1002),
        (
            "a Close with code 1015, which must not be sent",
            b"\x88\x02\x03\xF7",
            1002,
        ),
        (
            "a Close with code 1016, which is not assigned",
            b"\x88\x05\x03\xF8bye",
            1002,
        ),
        (
            "a Close with code 2999, which is not assigned",
            b"\x88\x02\x0B\xB7",
            1002,
        ),
    ];
    for (what, frames, code) in errors {
        expect_refusal(connected(frames).await, code, what).await;
    }
}
