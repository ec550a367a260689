// Tests the server with `ws`, the WebSocket client of Node: every WebSocket path and the HTTP requests around them.
//
//     node crates/cli/tests/clients/node.mjs http://127.0.0.1:PORT FOLDER [deflate]     (FOLDER/node_modules holds `ws`)
//
// With `deflate` the server runs with --deflate; `ws` offers compression by itself, so everything is compressed.
//
// Nothing sleeps: a test waits for a message, for at most WAIT_MS, and what must not arrive is shown by a later
// message that arrives first.

import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { after, describe, test } from "node:test";

const WAIT_MS = 5_000;

const [base, folder, mode] = process.argv.slice(2);
if (!base || !folder || ![undefined, "deflate"].includes(mode)) {
  console.error("usage: node node.mjs BASE_URL MODULES_FOLDER [deflate]");
  process.exit(2);
}
const { WebSocket } = createRequire(resolve(folder, "node_modules", "_"))("ws");
const server = new URL(base);

/** A WebSocket client that receives its messages, pongs and close one by one, in order. */
class Client {
  static all = new Set();

  /** Connects to `path`; fails if the server refuses the upgrade. */
  static async open(path, options) {
    const client = new Client(path, options);
    await client.opened;
    return client;
  }

  /** Connects to `topics` of the chat. Returns when the subscriptions are proven to be in force. */
  static async chat(...topics) {
    const query = new URLSearchParams(topics.map((topic) => ["topic", topic]));
    const client = await Client.open(topics.length === 0 ? "/ws" : `/ws?${query}`);
    await client.settle();
    return client;
  }

  constructor(path, options = {}) {
    this.messages = new Queue("a message");
    this.pongs = new Queue("a pong");
    this.socket = new WebSocket(new URL(path, server.href.replace(/^http/, "ws")), options);
    this.socket.on("upgrade", (response) => { this.extensions = response.headers["sec-websocket-extensions"]; });
    this.opened = within("the upgrade", new Promise((open, refused) => {
      this.socket.on("open", open);
      this.socket.on("error", refused);
      this.socket.on("unexpected-response", (request, response) => {
        refused(Object.assign(new Error(`refused with ${response.statusCode}`), { status: response.statusCode }));
        request.destroy();
      });
    }));
    this.opened.catch(() => {}); // not an unhandled rejection: whoever awaits `opened` still gets the error
    this.ended = new Promise((ended) => {
      this.socket.on("close", (code, reason) => ended({ code, reason: reason.toString() }));
    });
    this.socket.on("message", (data, isBinary) => {
      const message = isBinary ? data : data.toString();
      if (!String(message).startsWith(SETTLE)) this.messages.push(message);
      else if (message === this.settling) this.settled();
    });
    this.socket.on("pong", (data) => this.pongs.push(data.toString()));
    Client.all.add(this);
  }

  /** Publishes a message that all clients here ignore, and waits until it comes back. */
  async settle() {
    this.settling = SETTLE + randomUUID();
    const back = new Promise((settled) => { this.settled = settled; });
    this.socket.send(this.settling);
    await within("a client's own message", back);
  }

  send(data, options = {}) {
    this.socket.send(data, options);
  }

  next() {
    return this.messages.next();
  }

  async request(text) {
    this.send(text);
    return this.next();
  }

  async ping(data) {
    this.socket.ping(data);
    return this.pongs.next();
  }

  async close(code, reason) {
    this.socket.close(code, reason);
    return this.end();
  }

  end() {
    return within("the close", this.ended);
  }
}

const SETTLE = "settle ";

/** A queue of received items, or of callers that wait for one. */
class Queue {
  items = [];
  waiting = [];

  constructor(what) {
    this.what = what;
  }

  push(item) {
    const waiter = this.waiting.shift();
    if (waiter) waiter(item);
    else this.items.push(item);
  }

  next() {
    if (this.items.length > 0) return this.items.shift();
    return within(this.what, new Promise((waiter) => this.waiting.push(waiter)));
  }
}

function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${WAIT_MS} ms`)), WAIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function http(method, path, body) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const init = { method, headers, body: JSON.stringify(body), signal: AbortSignal.timeout(WAIT_MS) };
  const response = await fetch(new URL(path, server), init);
  return { status: response.status, text: await response.text() };
}

async function publish(topic, message, userId) {
  const answer = await http("POST", "/publish", { topic, message, user_id: userId });
  assert.equal(answer.status, 200, answer.text);
  const { queued } = JSON.parse(answer.text);
  assert.ok(Number.isInteger(queued) && queued >= 0, answer.text);
}

/** Registers a user and returns the path of its WebSocket, `/ws/ID`. */
async function register(userId, topics) {
  const answer = await http("POST", "/register", { user_id: userId, topics });
  assert.equal(answer.status, 200, answer.text);
  const url = new URL(JSON.parse(answer.text).url);
  assert.equal(url.protocol, "ws:");
  assert.equal(url.host, server.host);
  assert.match(url.pathname, /^\/ws\/[^/]+$/);
  return url.pathname;
}

/** Registers and connects a relay. Returns when its subscriptions are in force. */
async function relay(userId, topics) {
  const path = await register(userId, topics);
  const client = await Client.open(path);
  assert.equal(await client.request("ping"), "pong");
  return { client, path, id: path.slice("/ws/".length) };
}

/** Returns the status with which the server rejects the upgrade, or "accepted". */
async function rejection(path) {
  const client = new Client(path);
  return client.opened.then(() => "accepted", (error) => error.status ?? error.message);
}

const fresh = (name) => `${name}-${randomUUID()}`;

after(() => {
  for (const client of Client.all) client.socket.terminate();
});

for (const path of ["/echo", "/echo/raw"]) {
  describe(path, () => {
    const bytes = Buffer.from(Array.from({ length: 65_536 }, (_, index) => index % 251));

    test("text comes back", async () => {
      const client = await Client.open(path);
      assert.equal(await client.request("héllo, wörld ✓ 🦀"), "héllo, wörld ✓ 🦀");
    });

    test("binary comes back as binary", async () => {
      const client = await Client.open(path);
      assert.deepEqual(await client.request(bytes.subarray(0, 256)), bytes.subarray(0, 256));
    });

    test("empty messages come back", async () => {
      const client = await Client.open(path);
      assert.equal(await client.request(""), "");
      assert.deepEqual(await client.request(Buffer.alloc(0)), Buffer.alloc(0));
    });

    test("each length encoding comes back, up to 64 KiB", async () => {
      const client = await Client.open(path);
      for (const length of [1, 125, 126, 127, 65_535, 65_536]) {
        assert.deepEqual(await client.request(bytes.subarray(0, length)), bytes.subarray(0, length));
        assert.equal(await client.request("x".repeat(length)), "x".repeat(length));
      }
    });

    test("a fragmented message comes back whole, with a ping answered in between", async () => {
      const client = await Client.open(path);
      client.send("frag", { fin: false });
      client.send("", { fin: false });
      assert.equal(await client.ping("between"), "between");
      client.send("mented ", { fin: false });
      client.send("✓", { fin: true });
      assert.equal(await client.next(), "fragmented ✓");
      assert.equal(await client.request("whole"), "whole");
    });

    test("a hundred messages in flight come back in order", async () => {
      const client = await Client.open(path);
      const sent = Array.from({ length: 100 }, (_, index) => `${index}`);
      for (const text of sent) client.send(text);
      for (const text of sent) assert.equal(await client.next(), text);
    });

    test("pings are answered with their own payload", async () => {
      const client = await Client.open(path);
      for (const payload of ["", "a", "p".repeat(125)]) assert.equal(await client.ping(payload), payload);
    });

    test("a close is answered with its code", async () => {
      const codes = [1000, 1001, 3000, 4000, 4999];
      for (const code of codes) assert.equal((await (await Client.open(path)).close(code, "bye")).code, code);
      assert.equal((await (await Client.open(path)).close()).code, 1005); // no code was sent
    });
  });
}

describe("/ws", () => {
  test("every subscriber of a topic gets every message, the sender included, in one order", async () => {
    const topic = fresh("room");
    const clients = [await Client.chat(topic), await Client.chat(topic), await Client.chat(topic)];
    for (const [index, client] of clients.entries()) {
      for (let n = 0; n < 20; n += 1) client.send(`${index}/${n}`);
    }
    const seen = clients.map(() => []);
    for (const [index, client] of clients.entries()) {
      while (seen[index].length < 60) seen[index].push(await client.next());
    }
    assert.deepEqual(seen[1], seen[0]);
    assert.deepEqual(seen[2], seen[0]);
    for (const sender of [0, 1, 2]) {
      const own = seen[0].filter((text) => text.startsWith(`${sender}/`));
      assert.deepEqual(own, Array.from({ length: 20 }, (_, n) => `${sender}/${n}`));
    }
  });

  test("binary stays binary, text stays text, fragments arrive whole", async () => {
    const topic = fresh("room");
    const [one, two] = [await Client.chat(topic), await Client.chat(topic)];
    one.send(Buffer.from([0, 255, 128]));
    one.send("text ✓");
    one.send("fra", { fin: false });
    one.send("gment", { fin: true });
    for (const client of [one, two]) {
      assert.deepEqual(await client.next(), Buffer.from([0, 255, 128]));
      assert.equal(await client.next(), "text ✓");
      assert.equal(await client.next(), "fragment");
    }
  });

  test("a client gets the messages of its own topics only, and one with two topics those of both", async () => {
    const [cats, dogs] = [fresh("cats"), fresh("dogs")];
    const [cat, dog, both] = [await Client.chat(cats), await Client.chat(dogs), await Client.chat(cats, dogs)];
    dog.send("woof");
    assert.equal(await dog.next(), "woof");
    assert.equal(await both.next(), "woof");
    cat.send("meow");
    assert.equal(await both.next(), "meow");
    assert.equal(await cat.next(), "meow"); // and not "woof" before it
    cat.send("purr");
    dog.send("wag");
    assert.equal(await dog.next(), "wag"); // and not "meow" or "purr" before it
  });

  test("a client of two topics reaches the clients of both, each once", async () => {
    const [cats, dogs] = [fresh("cats"), fresh("dogs")];
    const [cat, dog, both] = [await Client.chat(cats), await Client.chat(dogs), await Client.chat(cats, dogs)];
    both.send("first");
    both.send("second");
    for (const client of [cat, dog]) {
      assert.equal(await client.next(), "first");
      assert.equal(await client.next(), "second");
    }
  });

  test("a client without a topic is in the topic lobby", async () => {
    const [unnamed, named] = [await Client.chat(), await Client.chat("lobby")];
    const text = fresh("hello");
    unnamed.send(text);
    assert.equal(await named.next(), text);
    assert.equal(await unnamed.next(), text);
  });

  test("a published message arrives", async () => {
    const topic = fresh("room");
    const client = await Client.chat(topic);
    await publish(topic, "from HTTP");
    assert.equal(await client.next(), "from HTTP");
  });

  test("a client that disconnects, with or without a close, does not disturb the others", async () => {
    const topic = fresh("room");
    const [one, two, three] = [await Client.chat(topic), await Client.chat(topic), await Client.chat(topic)];
    assert.equal((await two.close(1000, "bye")).code, 1000);
    three.socket.terminate();
    assert.equal(await one.request("still here"), "still here");
    assert.equal(await one.ping("p"), "p");
  });
});

describe("/ws/{ID}", () => {
  test("a published message reaches the subscribers of its topic", async () => {
    const [cats, dogs] = [fresh("cats"), fresh("dogs")];
    const [cat, dog] = [await relay(1, [cats]), await relay(2, [dogs])];
    await publish(cats, "meow ✓");
    await publish(dogs, "woof");
    assert.equal(await cat.client.next(), "meow ✓");
    assert.equal(await dog.client.next(), "woof"); // and not "meow" before it
  });

  test("user_id narrows a publication to one user", async () => {
    const topic = fresh("cats");
    const [one, two] = [await relay(1, [topic]), await relay(2, [topic])];
    await publish(topic, "for two", 2);
    await publish(topic, "for all");
    assert.equal(await two.client.next(), "for two");
    assert.equal(await two.client.next(), "for all");
    assert.equal(await one.client.next(), "for all"); // and not "for two" before it
  });

  test("a list of topics replaces the previous one", async () => {
    const [cats, dogs, birds] = [fresh("cats"), fresh("dogs"), fresh("birds")];
    const { client } = await relay(1, [cats]);
    assert.deepEqual(JSON.parse(await client.request(JSON.stringify({ topics: [dogs, birds] }))), { topics: [dogs, birds] });
    await publish(cats, "meow");
    await publish(dogs, "woof");
    assert.equal(await client.next(), "woof"); // and not "meow" before it
    await publish(birds, "tweet");
    assert.equal(await client.next(), "tweet");
    assert.deepEqual(JSON.parse(await client.request('{"topics":[]}')), { topics: [] });
    await publish(dogs, "woof");
    assert.equal(await client.request("ping"), "pong");
  });

  test("any other message is answered with an error on one line, and the connection stays open", async () => {
    const { client } = await relay(1, [fresh("cats")]);
    for (const text of ["hello", "", "{", "[]", "null", '{"topics":"cats"}', '{"topics":[1]}', '{"topic":["cats"]}', "PING"]) {
      const answer = await client.request(text);
      assert.equal(typeof JSON.parse(answer).error, "string", `${text} → ${answer}`);
      assert.ok(!answer.includes("\n"), answer);
    }
    assert.equal(await client.request("ping"), "pong");
  });

  test("WebSocket pings and closes work here too", async () => {
    const { client } = await relay(1, [fresh("cats")]);
    assert.equal(await client.ping("p"), "p");
    assert.equal((await client.close(4000, "bye")).code, 4000);
  });

  test("a second connection for one registration takes over, and the first is closed with 4506", async () => {
    const topic = fresh("cats");
    const { client, path } = await relay(1, [topic]);
    const second = await Client.open(path);
    const { code, reason } = await client.end();
    assert.deepEqual([code, reason], [4506, "taken over"]);
    await publish(topic, "meow");
    assert.equal(await second.next(), "meow");
  });

  test("an unknown registration is rejected with 404", async () => {
    assert.equal(await rejection(`/ws/${randomUUID()}`), 404);
    assert.equal(await rejection("/ws/nobody"), 404);
  });

  test("DELETE closes the live connection with 4503 and a reason, and the path is gone", async () => {
    const { client, path, id } = await relay(1, [fresh("cats")]);
    assert.equal((await http("DELETE", `/register/${id}`)).status, 200);
    const { code, reason } = await client.end();
    assert.equal(code, 4503);
    assert.notEqual(reason, "");
    assert.equal(await rejection(path), 404);
  });

  test("DELETE before any connection works as well", async () => {
    const path = await register(1, [fresh("cats")]);
    assert.equal((await http("DELETE", `/register/${path.slice("/ws/".length)}`)).status, 200);
    assert.equal(await rejection(path), 404);
  });
});

if (mode === "deflate") {
  describe("permessage-deflate", () => {
    const NO_CONTEXT_TAKEOVER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    const open = (path, perMessageDeflate) => Client.open(path, { perMessageDeflate });
    const all = { threshold: 0 }; // compress every message, however small

    test("offered parameters are agreed on", async () => {
      for (const path of ["/echo", "/echo/raw", "/ws"]) {
        for (const [offer, answered] of [
          [{}, ""],
          [{ serverNoContextTakeover: true, clientNoContextTakeover: true }, ""],
          [{ clientMaxWindowBits: 10 }, ""],
          [{ serverMaxWindowBits: 9 }, "; server_max_window_bits=9"],
          [{ serverMaxWindowBits: 15, clientMaxWindowBits: 9 }, "; server_max_window_bits=15"],
        ]) {
          assert.equal((await open(path, offer)).extensions, NO_CONTEXT_TAKEOVER + answered, JSON.stringify(offer));
        }
        assert.equal((await open(path, false)).extensions, undefined);
      }
    });

    test("messages of every length come back as they were", async () => {
      for (const path of ["/echo", "/echo/raw", `/ws?topic=${fresh("own")}`]) {
        for (const serverMaxWindowBits of [8, 9, 12, 15]) {
          const client = await open(path, { ...all, serverMaxWindowBits });
          for (const length of [0, 1, 63, 64, 126, 5_000, 65_535, 65_536]) {
            const half = randomBytes(length >> 1);
            for (const data of ["x".repeat(length), randomBytes(length), Buffer.concat([half, half])]) {
              assert.deepEqual(await client.request(data), data);
            }
          }
          await client.close();
        }
      }
    });

    test("compressed messages are small on the wire, both ways", async () => {
      const client = await open("/echo", all);
      const { bytesRead, bytesWritten } = client.socket._socket;
      const text = "compressible ".repeat(5_000);
      assert.equal(await client.request(text), text);
      assert.ok(client.socket._socket.bytesWritten - bytesWritten < text.length / 50);
      assert.ok(client.socket._socket.bytesRead - bytesRead < text.length / 50);
    });

    test("a compressed message in fragments arrives whole, with a ping answered in between", async () => {
      const client = await open("/echo", all);
      client.send("frag".repeat(50), { fin: false });
      assert.equal(await client.ping("between"), "between");
      client.send("", { fin: false });
      client.send("mented ✓", { fin: true });
      assert.equal(await client.next(), `${"frag".repeat(50)}mented ✓`);
    });

    test("a message reaches clients with and without compression", async () => {
      const path = `/ws?topic=${fresh("room")}`;
      const clients = [await open(path, all), await open(path, { ...all, serverMaxWindowBits: 9 }), await open(path, false)];
      for (const sender of clients) {
        for (const data of ["small", "large ".repeat(10_000), randomBytes(3_000)]) {
          sender.send(data);
          for (const client of clients) assert.deepEqual(await client.next(), data);
        }
      }
      await publish(new URL(path, server).searchParams.get("topic"), "from HTTP ".repeat(100));
      for (const client of clients) assert.equal(await client.next(), "from HTTP ".repeat(100));
    });

    test("a relay understands compressed requests", async () => {
      const topics = Array.from({ length: 20 }, () => fresh("topic"));
      const client = await open(await register(1, []), all);
      assert.equal(await client.request("ping"), "pong");
      assert.deepEqual(JSON.parse(await client.request(JSON.stringify({ topics }))), { topics });
      await publish(topics[19], "meow ".repeat(100));
      assert.equal(await client.next(), "meow ".repeat(100));
    });
  });
}

describe("HTTP", () => {
  test("/health answers with JSON", async () => {
    const answer = await http("GET", "/health");
    assert.equal(answer.status, 200);
    assert.equal(typeof JSON.parse(answer.text), "object");
  });

  test("/ answers with the page", async () => {
    const answer = await http("GET", "/");
    assert.equal(answer.status, 200);
    assert.match(answer.text, /^<!DOCTYPE html>/i);
    assert.ok(!answer.text.includes("{{nonce}}"));
  });
});
