"""Tests the server with `websockets`, the WebSocket client of Python.

    FOLDER/venv/bin/python crates/cli/tests/clients/python_client.py http://127.0.0.1:PORT [deflate]

With `deflate` the server runs with --deflate; `websockets` offers compression by itself, so everything is compressed.

The last line is `N passed, N failed`; the exit code is 1 if anything failed. Nothing sleeps: a test waits for
what it expects, for at most WAIT seconds.
"""

import asyncio
import json
import random
import sys
import traceback
import urllib.request
import uuid

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

WAIT = 5  # seconds
DEFLATE = sys.argv[2:] == ["deflate"]
TESTS = []


def test(function):
    """Adds a coroutine function to the tests, under its own name."""
    TESTS.append(function)
    return function


def test_if(condition):
    """Like `test` if the condition holds; else leaves the function out."""
    return test if condition else lambda function: function


def open_socket(path, **options):
    return connect(BASE.replace("http", "ws", 1) + path, proxy=None, open_timeout=WAIT, **options)


async def receive(socket):
    return await asyncio.wait_for(socket.recv(), WAIT)


async def pieces(*parts):
    """Yields the parts of a message, which is sent with one frame for each."""
    for part in parts:
        yield part


def fresh(name):
    return f"{name}-{uuid.uuid4()}"


async def http(method, path, body=None):
    """Sends JSON and returns the JSON of the response. Any status but 2xx raises an exception."""

    def send():
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(BASE + path, data, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=WAIT) as response:
            return response.read()

    answer = await asyncio.to_thread(send)
    return json.loads(answer) if answer else None


async def settle(socket):
    """Returns when a message of the socket has come back, which proves that its subscriptions are in force."""
    mark = fresh("settle")
    await socket.send(mark)
    while await receive(socket) != mark:
        pass


async def skip_settling(socket):
    """Returns the next message that is not another client's from `settle`."""
    while True:
        message = await receive(socket)
        if not str(message).startswith("settle-"):
            return message


@test
async def echo_returns_text_binary_and_empty_messages():
    for path in ("/echo", "/echo/raw"):
        async with open_socket(path) as socket:
            for message in ("héllo ✓ 🦀", b"\x00\xff\x80", "", b"", "x" * 65_536, bytes(65_536)):
                await socket.send(message)
                assert await receive(socket) == message, path


@test
async def echo_returns_fragmented_messages_whole():
    for path in ("/echo", "/echo/raw"):
        async with open_socket(path) as socket:
            await socket.send(pieces("one ", "", "two ", "✓"))
            assert await receive(socket) == "one two ✓", path
            await socket.send(pieces(b"\x00", b"\xff" * 1000, b"\x01"))
            assert await receive(socket) == b"\x00" + b"\xff" * 1000 + b"\x01", path


@test
async def pings_are_answered_and_measured():
    async with open_socket("/echo") as socket:
        for _ in range(10):
            latency = await asyncio.wait_for(await socket.ping(), WAIT)
            assert 0 < latency < WAIT, latency


@test
async def a_ping_between_fragments_is_answered():
    async def parts():
        yield "before "
        await asyncio.wait_for(await socket.ping("between"), WAIT)
        yield "after"

    async with open_socket("/echo") as socket:
        await socket.send(parts())
        assert await receive(socket) == "before after"


@test
async def a_close_is_answered_with_its_code():
    for path in ("/echo", "/echo/raw", "/ws"):
        for code in (1000, 1001, 4000):
            socket = await open_socket(path, close_timeout=WAIT)
            await socket.close(code, "bye")
            assert socket.close_code == code, (path, socket.close_code)
            answer = socket.protocol.close_rcvd
            assert answer is not None and answer.code == code, (path, answer)


@test_if(not DEFLATE)
async def offered_compression_is_declined():
    for path in ("/echo", "/echo/raw", "/ws"):
        async with open_socket(path, compression="deflate") as socket:
            assert "permessage-deflate" in socket.request.headers["Sec-WebSocket-Extensions"]
            assert "Sec-WebSocket-Extensions" not in socket.response.headers, path
            text = "compressible " * 1000
            await socket.send(text)
            assert await receive(socket) == text, path


def deflate(**parameters):
    """Options of a client that offers compression with these parameters, and nothing else."""
    return {"compression": None, "extensions": [ClientPerMessageDeflateFactory(**parameters)]}


@test_if(DEFLATE)
async def offered_compression_is_agreed_on():
    no_context_takeover = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    offers = [
        ({}, ""),
        ({"server_no_context_takeover": True, "client_no_context_takeover": True}, ""),
        ({"client_max_window_bits": True}, ""),
        ({"client_max_window_bits": 9}, ""),
        *(({"server_max_window_bits": bits}, f"; server_max_window_bits={bits}") for bits in range(8, 16)),
    ]
    for path in ("/echo", "/echo/raw", "/ws"):
        for parameters, answered in offers:
            async with open_socket(path, **deflate(**parameters)) as socket:
                answer = socket.response.headers["Sec-WebSocket-Extensions"]
                assert answer == no_context_takeover + answered, (path, parameters, answer)


@test_if(DEFLATE)
async def compressed_messages_come_back_unchanged_with_every_window():
    noise = random.Random(1).randbytes
    for path in ("/echo", "/echo/raw", "/ws"):
        for bits in range(8, 16):
            # The client's inflater has the window that it asks for, so a reference further back would fail.
            async with open_socket(path, **deflate(server_max_window_bits=bits)) as socket:
                for size in (0, 1, 63, 64, 200, 10_000, 65_536):
                    for message in ("x" * size, "word %d " * (size // 8), noise(size), noise(size // 2) * 2):
                        await socket.send(message)
                        assert await receive(socket) == message, (path, bits, size)


@test_if(DEFLATE)
async def a_message_reaches_clients_with_and_without_compression():
    path = f"/ws?topic={fresh('mixed')}"
    async with (
        open_socket(path) as one,
        open_socket(path, **deflate(server_max_window_bits=9)) as other,
        open_socket(path, compression=None) as plain,
    ):
        assert "Sec-WebSocket-Extensions" not in plain.response.headers
        for sender in (one, other, plain):
            for message in ("small", "large " * 5000, random.Random(2).randbytes(3000)):
                await sender.send(message)
                for receiver in (one, other, plain):
                    assert await receive(receiver) == message


@test
async def three_receivers_see_two_senders_in_the_same_order():
    count = 500
    path = f"/ws?topic={fresh('order')}"
    async with (
        open_socket(path, max_queue=None) as first,
        open_socket(path, max_queue=None) as second,
        open_socket(path, max_queue=None) as third,
    ):
        sockets = (first, second, third)
        for socket in sockets:
            await settle(socket)

        async def send(name, socket):
            for number in range(count // 2):
                await socket.send(f"{name}/{number}")

        async def collect(socket):
            return [await skip_settling(socket) for _ in range(count)]

        *orders, _, _ = await asyncio.gather(*map(collect, sockets), send("first", first), send("second", second))
        assert orders[0] == orders[1] == orders[2]
        for name in ("first", "second"):
            own = [message for message in orders[0] if message.startswith(f"{name}/")]
            assert own == [f"{name}/{number}" for number in range(count // 2)], name


@test
async def a_relay_gets_its_topics_and_is_closed_when_its_registration_is_deleted():
    topic, other = fresh("cats"), fresh("dogs")
    url = (await http("POST", "/register", {"user_id": 1, "topics": [topic]}))["url"]
    async with connect(url, proxy=None, open_timeout=WAIT) as socket:
        await socket.send("ping")
        assert await receive(socket) == "pong"
        await http("POST", "/publish", {"topic": topic, "message": "meow"})
        assert await receive(socket) == "meow"
        await socket.send(json.dumps({"topics": [other]}))
        assert json.loads(await receive(socket)) == {"topics": [other]}
        await http("POST", "/publish", {"topic": topic, "message": "meow"})
        await http("POST", "/publish", {"topic": other, "message": "not for one", "user_id": 2})
        await http("POST", "/publish", {"topic": other, "message": "woof"})
        assert await receive(socket) == "woof"
        await http("DELETE", "/register/" + url.rsplit("/", 1)[1])
        try:
            raise AssertionError(f"still open, received {await receive(socket)!r}")
        except ConnectionClosed as closed:
            assert closed.rcvd is not None and closed.rcvd.code == 4503 and closed.rcvd.reason, closed
    try:
        await connect(url, proxy=None, open_timeout=WAIT)
        raise AssertionError("accepted after its registration was deleted")
    except InvalidStatus as refused:
        assert refused.response.status_code == 404, refused


async def main():
    failed = 0
    for function in TESTS:
        name = function.__name__.replace("_", " ")
        try:
            await asyncio.wait_for(function(), 6 * WAIT)
            print(f"ok      {name}")
        except Exception:
            failed += 1
            print(f"FAILED  {name}")
            traceback.print_exc(file=sys.stdout)
    print(f"{len(TESTS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["deflate"]):
        sys.exit("usage: python_client.py BASE_URL [deflate]")
    BASE = sys.argv[1].rstrip("/")
    sys.exit(asyncio.run(main()))
