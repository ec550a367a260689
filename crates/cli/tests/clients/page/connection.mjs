// Tests of the connection: how it is lost and made again, and what the page says of it.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { CuttableProxy, refusingServer } from "./peers.mjs";
import { entries, field, open, opened, reason, say, send, shows, state, stopClock } from "./window.mjs";

const BACKOFF_CAP_S = 30;

/** Counts the WebSockets that a window opens from now on. */
function countSockets(page) {
  const count = { sockets: 0 };
  page.on("websocket", () => { count.sockets += 1; });
  return count;
}

export const connection = {
  "the page reconnects after the server was unreachable": async () => {
    const topic = randomUUID();
    let proxy = await CuttableProxy.listen();
    const { port } = proxy;
    const [one, two] = [
      await opened({ at: `http://127.0.0.1:${port}`, topic, expectLoss: true }),
      await opened({ topic }),
    ];
    await proxy.cut();
    await state(one, /^Reconnecting in \d+ s$/);
    await field(one).fill("typed while away");
    await field(one).press("Enter");
    assert.ok(await send(one).isDisabled());
    assert.equal(await field(one).inputValue(), "typed while away");
    proxy = await CuttableProxy.listen(port);
    await state(one, /^Connected$/);
    await field(one).press("Enter");
    await shows(one, "typed while away");
    await shows(two, "typed while away");
    assert.equal(await entries(two).count(), 1);
    await one.context().close();
    await proxy.cut();
  },

  "the page does not reconnect after a close code from 4500": async () => {
    let connections = 0;
    const prepare = async (page) => {
      await stopClock(page);
      await page.routeWebSocket(/\/ws/, (socket) => {
        connections += 1;
        socket.close({ code: 4503, reason: "registration deleted" });
      });
    };
    const page = await open({ prepare });
    await state(page, /^Closed$/);
    await reason(page, "Closed with code 4503: registration deleted");
    await page.clock.runFor(10 * BACKOFF_CAP_S * 1000);
    await state(page, /^Closed$/);
    assert.equal(connections, 1);
    await page.getByRole("button", { name: "Connect now" }).click();
    await state(page, /^Closed$/);
    assert.equal(connections, 2);
    await page.getByRole("button", { name: "Join" }).click();
    await state(page, /^Closed$/);
    assert.equal(connections, 3);
  },

  "the longest wait before a reconnection doubles each time, up to 30 s": async () => {
    const waits = [];
    const prepare = async (page) => {
      await stopClock(page);
      await page.addInitScript(() => { Math.random = () => 0.999; });
      await page.routeWebSocket(/\/ws/, (socket) => socket.close({ code: 1013, reason: `${waits.length}` }));
    };
    const page = await open({ prepare });
    while (waits.length < 9) {
      await reason(page, `Closed with code 1013: ${waits.length}`);
      const text = await page.getByRole("status").filter({ hasText: /Reconnecting in/ }).textContent();
      waits.push(Number(text.match(/in (\d+) s/)[1]));
      await page.getByRole("button", { name: "Connect now" }).click();
    }
    assert.deepEqual(waits, [1, 1, 2, 4, 8, 16, BACKOFF_CAP_S, BACKOFF_CAP_S, BACKOFF_CAP_S]);
  },

  // The page went on connecting for ever, and said nothing but that the connection was lost or refused.
  "a topic that the server refuses is not tried again, and the server's reason is shown": async () => {
    let count;
    const prepare = async (page) => {
      await stopClock(page);
      count = countSockets(page);
    };
    const page = await open({ topic: "x".repeat(400), expectLoss: true, prepare });
    await state(page, /^Closed$/);
    const why = "a topic name is 1 to 255 bytes of text without control characters";
    await reason(page, `Refused with 400: topic: ${why}`);
    await page.clock.runFor(10 * BACKOFF_CAP_S * 1000);
    await state(page, /^Closed$/);
    assert.equal(count.sockets, 1);
    await page.getByLabel("Topic").fill("x".repeat(255));
    await page.getByLabel("Topic").press("Enter");
    await state(page, /^Connected$/);
  },

  "a long topic is not cut when it is pasted": async () => {
    const page = await opened({ expectLoss: true });
    await page.getByLabel("Topic").fill("");
    await page.keyboard.insertText("é".repeat(200));
    await page.getByLabel("Topic").press("Enter");
    await state(page, /^Closed$/);
    assert.equal(await page.getByLabel("Topic").inputValue(), "é".repeat(200));
  },

  "the page says why it was refused, and tries again only if that can help": async () => {
    const json = (status, error) => [status, JSON.stringify({ error }), { "content-type": "application/json" }];
    const lost = "The connection was lost, or a proxy on the way does not pass WebSockets on.";
    for (const [get, options, after, why] of [
      [json(503, "the server is short of memory"), [204], "Reconnecting", "Refused with 503: the server is short of memory"],
      [json(409, "try again"), [204], "Reconnecting", "Refused with 409: try again"],
      [[429, "slowly"], [204], "Reconnecting", "Refused with 429: Too Many Requests"],
      [json(426, "a WebSocket upgrade is required"), [204], "Reconnecting", lost],
      [[200, "<p>something else"], [204], "Reconnecting", lost],
      [[302, "", { location: "/login" }], [204], "Reconnecting", "Refused: the server sends this page elsewhere. Load it again."],
      [json(421, "this server does not answer to a.example"), [421], "Closed", "Refused with 421: this server does not answer to a.example"],
      [[401, "<p>Who are you?"], [401], "Closed", "Refused with 401: Unauthorized"],
      [[400, "null"], [204], "Closed", "Refused with 400: Bad Request"],
      // A GET to the page's own server has no origin.
      [json(426, "a WebSocket upgrade is required"), json(403, "pages of this origin may not use this server"), "Closed",
        "Refused with 403: pages of this origin may not use this server"],
      // A proxy's own answer to OPTIONS says nothing about a handshake.
      [json(503, "the server is short of memory"), [403, "<p>Forbidden"], "Reconnecting", "Refused with 503: the server is short of memory"],
    ]) {
      const front = await refusingServer((method) => (method === "OPTIONS" ? options : get));
      const page = await open({ at: front.origin, expectLoss: true, prepare: stopClock });
      await state(page, new RegExp(`^${after}`));
      await reason(page, why);
      assert.equal(front.asked[0], `OPTIONS ${front.origin}`);
      await page.context().close();
      front.stop();
    }
  },

  "the reason of a restart stays readable": async () => {
    let connections = 0;
    const prepare = async (page) => {
      await stopClock(page);
      await page.routeWebSocket(/\/ws/, (socket) => {
        connections += 1;
        if (connections === 1) socket.close({ code: 1012, reason: "server is restarting" });
      });
    };
    const page = await open({ prepare });
    await reason(page, "Closed with code 1012: server is restarting");
    await page.clock.runFor(1_000);
    await state(page, /^Connected$/);
    assert.equal(await page.locator("#why").textContent(), "");
    await page.clock.runFor(100); // the list is drawn
    assert.deepEqual(await entries(page).allTextContents(), [
      "Closed with code 1012: server is restarting",
      "Connected again. Messages sent in the meantime were missed.",
    ]);
  },

  "a loss that lasts is in the log once": async () => {
    const proxy = await CuttableProxy.listen();
    const page = await open({ at: `http://127.0.0.1:${proxy.port}`, expectLoss: true, prepare: stopClock });
    await state(page, /^Connected$/);
    await proxy.cut();
    await reason(page, "The connection was lost.");
    for (let attempt = 0; attempt < 4; attempt += 1) {
      await state(page, /^Reconnecting in \d+ s$/);
      await page.clock.runFor(BACKOFF_CAP_S * 1000);
      await reason(page, "The server can't be reached.");
    }
    await page.clock.runFor(100); // the list is drawn
    assert.deepEqual(await entries(page).allTextContents(), ["The connection was lost.", "The server can't be reached."]);
  },

  // Phones and laptops run nothing while they sleep, and the socket is dead afterwards, often without a close event.
  "a page that was asleep connects anew": async () => {
    const page = await opened({ prepare: stopClock });
    const count = countSockets(page);
    await page.clock.runFor(80_000);
    assert.equal(count.sockets, 0, "awake, it keeps its connection");
    await page.clock.fastForward(300_000);
    await state(page, /^Connected$/);
    await page.clock.runFor(100);
    await shows(page, "This page was asleep.");
    await shows(page, "Connected again. Messages sent in the meantime were missed.");
    assert.equal(count.sockets, 1);
    await page.clock.resume();
    await say(page, "awake");
    await shows(page, "awake");
  },
};
