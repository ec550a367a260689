// Tests the server's own page in a real browser: two windows chat, the page reconnects, it fits a phone.
//
//     node crates/cli/tests/clients/page.mjs http://127.0.0.1:PORT FOLDER PICTURES [deflate]
//
// With `deflate` the server runs with --deflate, and only the tests of compression run: the browser offers it.
// FOLDER/node_modules holds `playwright-core` and `ws`; the browser is $CHROMIUM, or the first Chromium in PATH.
// Writes pictures into PICTURES: page-light.png, page-dark.png, page-phone.png and page-sideways.png. The last line is
// `N passed, N failed`. Exit code 1: a test failed; 4: there is no browser on this machine.
// The tests are in the folder `page`.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { appearance } from "./page/appearance.mjs";
import { connection } from "./page/connection.mjs";
import { messages } from "./page/messages.mjs";
import { browser, mode, opened, problems, say, shows } from "./page/window.mjs";

/** Sends messages to /echo from inside a window. Returns the agreed extensions and the lengths that came back wrong. */
async function echo(page, lengths) {
  return page.evaluate(async (lengths) => {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/echo`);
    socket.binaryType = "arraybuffer";
    await new Promise((open, refused) => { socket.onopen = open; socket.onerror = refused; });
    const wrong = [];
    for (const length of lengths) {
      const text = "compressible ✓ ".repeat(length).slice(0, length);
      const noise = crypto.getRandomValues(new Uint8Array(length));
      for (const data of [text, noise]) {
        const answer = new Promise((came) => { socket.onmessage = ({ data }) => came(data); });
        socket.send(data);
        const back = await answer;
        if (String(typeof back === "string" ? back : new Uint8Array(back)) !== String(data)) wrong.push(length);
      }
    }
    socket.close();
    return { extensions: socket.extensions, wrong };
  }, lengths);
}

const testsWithDeflate = {
  "two windows chat": messages["two windows chat"],

  "browser and server agree on compression": async () => {
    const page = await opened();
    const { extensions, wrong } = await echo(page, [0, 1, 63, 64, 1_000, 20_000]);
    assert.equal(extensions, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    assert.deepEqual(wrong, []);
  },

  "a large message reaches all windows": async () => {
    const topic = randomUUID();
    const [one, two] = [await opened({ topic }), await opened({ topic })];
    const text = "a large message ".repeat(500).trim();
    await say(one, text);
    await shows(one, text);
    await shows(two, text);
  },
};

let [passed, failed] = [0, 0];

async function run(name, test) {
  try {
    await test();
    passed += 1;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
  await Promise.all(browser.contexts().map((context) => context.close()));
}

const tests = mode === "deflate" ? testsWithDeflate : { ...messages, ...connection, ...appearance };
for (const [name, test] of Object.entries(tests)) await run(name, test);
await run("no console error, no policy violation and no request to another host in any window", () => {
  assert.deepEqual(problems, []);
});
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
