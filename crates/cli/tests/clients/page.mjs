// Tests the server's own page in a real browser: two windows chat, the page reconnects, it fits a phone.
//
//     node crates/cli/tests/clients/page.mjs http://127.0.0.1:PORT FOLDER PICTURES [deflate]
//
// With `deflate` the server runs with --deflate, and only the tests of compression run: the browser offers it.
// FOLDER/node_modules holds `playwright-core` and `ws`; the browser is $CHROMIUM, or the first Chromium in PATH.
// Writes page-light.png, page-dark.png and page-phone.png into PICTURES. The last line is `N passed, N failed`.
// Exit code 1: a test failed; 4: there is no browser on this machine.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { accessSync, constants, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { delimiter, join, resolve } from "node:path";

const WAIT_MS = 8_000;
const SHOWN_ENTRIES = 500; // messages that the page keeps
const BACKOFF_CAP_S = 30;

const [base, folder, pictures, mode] = process.argv.slice(2);
if (!base || !folder || !pictures || ![undefined, "deflate"].includes(mode)) {
  console.error("usage: node page.mjs BASE_URL MODULES_FOLDER PICTURES_FOLDER [deflate]");
  process.exit(2);
}
const require = createRequire(resolve(folder, "node_modules", "_"));
const { chromium } = require("playwright-core");
const { WebSocket } = require("ws");
const server = new URL(base);

function browserPath() {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const inPath = (name) => process.env.PATH.split(delimiter).map((directory) => join(directory, name));
  const found = [process.env.CHROMIUM, ...names.flatMap(inPath)].find((path) => {
    try {
      return path && (accessSync(path, constants.X_OK), true);
    } catch {
      return false;
    }
  });
  if (found) return found;
  console.error("page.mjs: there is no Chromium in PATH; set CHROMIUM to one");
  process.exit(4);
}

const browser = await chromium.launch({
  executablePath: browserPath(),
  chromiumSandbox: false,
  // Only the page may use the network, not the browser itself.
  args: ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

/** Problems in any window: console errors, exceptions, policy violations, requests to other hosts. */
const problems = [];

/** Opens the page in a new window. `expectLoss`: errors of lost connections are expected. */
async function open({ at = server.origin, topic = randomUUID(), expectLoss = false, prepare, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  page.on("pageerror", (error) => problems.push(`exception: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") return;
    if (expectLoss && message.text().startsWith("WebSocket connection to")) return;
    problems.push(`console: ${message.text()}`);
  });
  const own = (url) => url.startsWith("data:") || new URL(url).host === new URL(at).host;
  page.on("request", (request) => own(request.url()) || problems.push(`request to ${request.url()}`));
  page.on("websocket", (socket) => own(socket.url()) || problems.push(`WebSocket to ${socket.url()}`));
  await page.exposeFunction("reportViolation", (text) => problems.push(`violation: ${text}`));
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      globalThis.reportViolation(`${event.effectiveDirective} ${event.blockedURI}`);
    });
  });
  await prepare?.(page);
  await page.goto(`${at}/#${encodeURIComponent(topic)}`);
  return page;
}

const state = (page, text) => page.getByRole("status").filter({ hasText: text }).waitFor();
const entries = (page) => page.locator("#list li span");
const shows = (page, text) => entries(page).getByText(text, { exact: true }).waitFor();
const field = (page) => page.getByLabel("Message", { exact: true });
const send = (page) => page.getByRole("button", { name: "Send" });

/** Opens the page in a new window, and waits until it is connected. */
async function opened(options) {
  const page = await open(options);
  await state(page, /^Connected$/);
  return page;
}

async function say(page, text) {
  await field(page).fill(text);
  await field(page).press("Enter");
}

/** Stops the clock of a window that is about to open; the test moves it. */
async function stopClock(page) {
  await page.clock.install({ time: 0 });
  await page.clock.pauseAt(3_600_000);
}

/** Connects a chat client that is not the page. `topic` is subscribed to when this returns. */
async function otherClient(topic) {
  const socket = new WebSocket(`${server.origin.replace(/^http/, "ws")}/ws?topic=${encodeURIComponent(topic)}`);
  await new Promise((open, refused) => socket.on("open", open).on("error", refused));
  return socket;
}

/** A TCP proxy to the server that can cut all connections, and listen again on the same port. */
class CuttableProxy {
  sockets = new Set();

  static async listen(port = 0) {
    const proxy = new CuttableProxy();
    proxy.listener = net.createServer((near) => {
      const far = net.connect(Number(server.port), server.hostname);
      for (const socket of [near, far]) {
        proxy.sockets.add(socket);
        socket.on("error", () => {}).on("close", () => { near.destroy(); far.destroy(); });
      }
      near.pipe(far).pipe(near);
    });
    await new Promise((listening, failed) => {
      proxy.listener.on("error", failed).listen(port, "127.0.0.1", listening);
    });
    return proxy;
  }

  get port() {
    return this.listener.address().port;
  }

  async cut() {
    const closed = new Promise((done) => this.listener.close(done));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}

const tests = {
  "two windows chat": async () => {
    const topic = `room ${randomUUID()}`;
    const [one, two] = [await opened({ topic }), await opened({ topic })];
    await say(one, "hello from one");
    await shows(one, "hello from one");
    await shows(two, "hello from one");
    assert.equal(await field(one).inputValue(), "");
    await field(two).fill("hello from two ✓");
    await send(two).click();
    await shows(one, "hello from two ✓");
    await shows(two, "hello from two ✓");
    assert.deepEqual(await one.locator("#list li.own span").allTextContents(), ["hello from one"]);
    assert.deepEqual(await two.locator("#list li.own span").allTextContents(), ["hello from two ✓"]);
    assert.match(await one.locator("#list time").first().textContent(), /^\d\d:\d\d:\d\d$/);
  },

  "markup shows as text": async () => {
    const topic = randomUUID();
    const [one, two] = [await opened({ topic }), await opened({ topic })];
    const markup = `<img src=x onerror="document.title='broken'"><b>bold</b><script>document.title='broken'</script>&amp;`;
    await say(one, markup);
    for (const page of [one, two]) {
      await shows(page, markup);
      assert.equal(await page.locator("#list :not(li, time, span)").count(), 0);
      assert.doesNotMatch(await page.title(), /broken/);
    }
  },

  "a window gets the messages of its topic only, and can change to another topic": async () => {
    const [cats, dogs] = [`cats ${randomUUID()}`, `dogs/${randomUUID()}?&#%`];
    const [cat, dog] = [await opened({ topic: cats }), await opened({ topic: dogs })];
    await say(cat, "meow");
    await shows(cat, "meow");
    await dog.getByLabel("Topic").fill(cats);
    await dog.getByLabel("Topic").press("Enter");
    await shows(dog, `Now in topic ${cats}`);
    await state(dog, /^Connected$/);
    await say(dog, "woof");
    await shows(cat, "woof");
    await shows(dog, "woof");
    assert.equal(await entries(dog).getByText("meow").count(), 0);
    assert.equal(decodeURIComponent(new URL(dog.url()).hash.slice(1)), cats);
  },

  "without a topic in the address the topic is lobby": async () => {
    const page = await opened({ topic: "" });
    assert.equal(await page.getByLabel("Topic").inputValue(), "lobby");
  },

  "a binary message shows its length": async () => {
    const topic = randomUUID();
    const page = await opened({ topic });
    const socket = await otherClient(topic);
    socket.send(Buffer.alloc(1234));
    await shows(page, "<binary 1234 bytes>");
    socket.close();
  },

  "the list is capped, and scrolls only if it is at the bottom": async () => {
    const topic = randomUUID();
    const page = await opened({ topic });
    const socket = await otherClient(topic);
    for (let n = 0; n < SHOWN_ENTRIES + 150; n += 1) socket.send(`message ${n}`);
    await shows(page, `message ${SHOWN_ENTRIES + 149}`);
    assert.equal(await entries(page).count(), SHOWN_ENTRIES);
    const log = page.getByRole("log");
    const fromBottom = () => log.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight);
    assert.ok(await fromBottom() < 2, "it scrolls at the bottom");
    await log.evaluate((box) => { box.scrollTop = 0; });
    socket.send("later");
    await shows(page, "later");
    assert.ok(await fromBottom() > 1_000, "it does not scroll elsewhere");
    await page.getByRole("button", { name: "Newer messages" }).click();
    assert.ok(await fromBottom() < 2, "the button leads to the bottom");
    socket.close();
  },

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

  "a message that never came back is reported": async () => {
    const prepare = async (page) => {
      await stopClock(page);
      await page.routeWebSocket(/\/ws/, (socket) => {
        socket.onMessage(() => socket.close({ code: 1011, reason: "for this test" }));
      });
    };
    const page = await opened({ prepare });
    await say(page, "into the void");
    await state(page, "Closed with code 1011: for this test");
    await page.clock.runFor(100); // the list is drawn
    await shows(page, "Not confirmed, perhaps not delivered: into the void");
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
    await state(page, "Closed with code 4503: registration deleted");
    await page.clock.runFor(10 * BACKOFF_CAP_S * 1000);
    await state(page, /^Closed$/);
    assert.equal(connections, 1);
    await page.getByRole("button", { name: "Connect now" }).click();
    await state(page, /^Closed$/);
    assert.equal(connections, 2);
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
      await state(page, `Closed with code 1013: ${waits.length}`);
      const text = await page.getByRole("status").filter({ hasText: /Reconnecting in/ }).textContent();
      waits.push(Number(text.match(/in (\d+) s/)[1]));
      await page.getByRole("button", { name: "Connect now" }).click();
    }
    assert.deepEqual(waits, [1, 1, 2, 4, 8, 16, BACKOFF_CAP_S, BACKOFF_CAP_S, BACKOFF_CAP_S]);
  },

  "the snippets name this host and topic, and contain nothing that a shell could misread": async () => {
    const snippets = async (topic) => (await opened({ topic })).locator("pre code").allTextContents();
    const plain = (await snippets("cats")).join("\n");
    assert.ok(plain.includes(`framecast connect 'ws://${server.host}/ws?topic=cats'`), plain);
    assert.ok(plain.includes(`curl http://${server.host}/publish`), plain);
    assert.ok(plain.includes('"topic": "cats"'), plain);
    assert.doesNotMatch(plain, /WS_URL|HTTP_URL|TOPIC/);
    const hostile = (await snippets(`'; rm -rf "$HOME" #`)).join("\n");
    assert.ok(hostile.includes(`framecast connect 'ws://${server.host}/ws'`), hostile);
    assert.ok(!hostile.includes("rm -rf"), hostile);
  },

  "the page fits a phone": async () => {
    const page = await opened({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
    await say(page, "a-long-word-without-any-place-to-break-it".repeat(10));
    await page.locator("#list li.own").waitFor();
    await page.evaluate(() => { for (const part of document.querySelectorAll("details")) part.name = "", part.open = true; });
    const [width, content] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
    assert.equal(width, 390);
    assert.ok(content <= width, `${content} px wide`);
    for (const control of await page.locator("input, button:visible, summary, pre, #list li").all()) {
      const { x, width: own } = await control.boundingBox();
      assert.ok(x >= 16 && x + own <= width - 16, `${await control.evaluate((element) => element.outerHTML)} is cut off`);
    }
    for (const input of await page.locator("input").all()) {
      const size = await input.evaluate((element) => parseFloat(getComputedStyle(element).fontSize));
      assert.ok(size >= 16, `an input of ${size} px makes a phone zoom in`);
    }
  },

  "pictures are taken": async () => {
    mkdirSync(pictures, { recursive: true });
    const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
    const looks = { light: { colorScheme: "light" }, dark: { colorScheme: "dark" }, phone: { colorScheme: "light", ...phone } };
    const lines = ["anyone here?", "yes, in the second window", "and from the terminal: framecast connect", "same order everywhere ✓"];
    for (const [name, look] of Object.entries(looks)) {
      const topic = `pictures-${randomUUID().slice(0, 8)}`;
      const page = await opened({ topic, ...look });
      const socket = await otherClient(topic);
      for (const [index, line] of lines.entries()) {
        if (index % 2 === 0) await say(page, line);
        else socket.send(line);
        await shows(page, line);
      }
      await page.screenshot({ path: join(pictures, `page-${name}.png`), fullPage: name === "phone" });
      socket.close();
    }
  },
};

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
  "two windows chat": tests["two windows chat"],

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

for (const [name, test] of Object.entries(mode === "deflate" ? testsWithDeflate : tests)) await run(name, test);
await run("no console error, no policy violation and no request to another host in any window", () => {
  assert.deepEqual(problems, []);
});
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
