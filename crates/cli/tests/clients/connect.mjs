// Tests `framecast connect --deflate --echo` against the WebSocket server of Node's `ws`, with all kinds of parameters.
//
//     node crates/cli/tests/clients/connect.mjs FRAMECAST FOLDER     (FOLDER/node_modules holds `ws`)
//
// Nothing sleeps: a test waits for what it expects, for at most WAIT_MS.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { test } from "node:test";

const WAIT_MS = 20_000;

const [framecast, folder] = process.argv.slice(2);
if (!framecast || !folder) {
  console.error("usage: node connect.mjs FRAMECAST MODULES_FOLDER");
  process.exit(2);
}
const { WebSocketServer } = createRequire(resolve(folder, "node_modules", "_"))("ws");

const half = randomBytes(10_000);
const MESSAGES = [
  "", "x", "small ✓", "large ".repeat(10_000), "x".repeat(65_536),
  Buffer.alloc(0), Buffer.alloc(100_000), randomBytes(100_000), Buffer.concat([half, half]),
];

/** Has a client with these options echo every message. Returns the extension that was agreed on. */
async function echoed(perMessageDeflate, options) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate });
  let answer = "nothing";
  server.on("headers", (lines) => {
    const name = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    answer = lines.find((line) => line.startsWith("Sec-WebSocket-Extensions"))?.replace(name, "agreed") ?? answer;
  });
  await once(server, "listening");
  const url = `ws://127.0.0.1:${server.address().port}/`;
  const client = spawn(framecast, ["connect", ...options, url], { stdio: "inherit" });
  const exited = once(client, "exit");
  try {
    const [socket] = await once(server, "connection");
    for (const message of MESSAGES) {
      socket.send(message);
      const [data, isBinary] = await once(socket, "message");
      assert.deepEqual(isBinary ? data : data.toString(), message);
    }
    socket.send("frag".repeat(100), { fin: false });
    socket.send("ment", { fin: true });
    assert.equal((await once(socket, "message"))[0].toString(), `${"frag".repeat(100)}ment`);
    socket.close(1000);
    const [code] = await once(socket, "close");
    assert.equal(code, 1000);
    const [status] = await exited;
    assert.equal(status, 0);
    return answer;
  } finally {
    client.kill();
    server.close();
  }
}

for (const [parameters, agreed] of [
  [{}, "agreed"],
  [{ serverMaxWindowBits: 9 }, "agreed; server_max_window_bits=9"],
  // The inflater of `ws` has the window that it asks for, so a reference further back would fail.
  [{ clientMaxWindowBits: 8 }, "agreed; client_max_window_bits=8"],
  [{ clientMaxWindowBits: 9 }, "agreed; client_max_window_bits=9"],
  [{ clientMaxWindowBits: 12, serverMaxWindowBits: 12 }, "agreed; client_max_window_bits=12; server_max_window_bits=12"],
]) {
  test(`every message comes back with ${JSON.stringify(parameters)}`, { timeout: WAIT_MS }, async () => {
    assert.equal(await echoed({ ...parameters, threshold: 0 }, ["--deflate", "--echo"]), agreed);
  });
}

test("every message comes back without compression if either side does not want it", { timeout: WAIT_MS }, async () => {
  assert.equal(await echoed(true, ["--echo"]), "nothing");
  assert.equal(await echoed(false, ["--deflate", "--echo"]), "nothing");
});
