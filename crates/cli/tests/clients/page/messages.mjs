// Tests of messages: who gets them, and how they are shown.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { nextMessage, otherClient } from "./peers.mjs";
import { entries, field, opened, reason, say, send, server, shows, state, stopClock } from "./window.mjs";

const SHOWN_ENTRIES = 500; // messages that the page keeps

const name = (page) => page.getByLabel("Your name");
const people = (page, text) => page.locator("#people").getByText(text, { exact: true }).waitFor();

/** Pastes a text into the field. Unlike `fill`, this is cut where a person's paste would be cut. */
async function paste(page, text) {
  await field(page).focus();
  await page.keyboard.insertText(text);
}

export const messages = {
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
      assert.equal(await page.locator("#list :not(li, time, div, span)").count(), 0);
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

  "a pasted text is sent whole, with all its lines": async () => {
    const topic = randomUUID();
    const page = await opened({ topic });
    const socket = await otherClient(topic);
    const text = Array.from({ length: 200 }, (_, n) => `line ${n} of a pasted text ✓`).join("\n");
    const came = nextMessage(socket);
    await paste(page, text);
    await send(page).click();
    assert.equal(await came, text);
    await page.locator("#list li.own").waitFor();
    assert.equal(await entries(page).textContent(), text);
    socket.close();
  },

  "a text that is too big for the server is in the field again": async () => {
    const page = await opened();
    const text = "x".repeat(70_000);
    await paste(page, text);
    await field(page).press("Enter");
    const again = "Connected again. Messages sent in the meantime were missed.";
    await shows(page, again);
    assert.deepEqual(await entries(page).allTextContents(), [
      "Closed with code 1009: message too big",
      "Not sent: 70000 bytes are more than this server takes. The text is in the field again.",
      again,
    ]);
    assert.equal(await field(page).inputValue(), text);
  },

  "Shift and Enter make a new line, and an Enter that ends a composition sends nothing": async () => {
    const topic = randomUUID();
    const page = await opened({ topic });
    const socket = await otherClient(topic);
    const came = nextMessage(socket);
    await paste(page, "one");
    await field(page).press("Shift+Enter");
    await paste(page, "two");
    // Safari reports the end of a composition as an Enter with this code, and not as composing.
    await field(page).evaluate((element) => {
      element.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", keyCode: 229, bubbles: true, cancelable: true }));
    });
    assert.equal(await field(page).inputValue(), "one\ntwo");
    await field(page).press("Enter");
    assert.equal(await came, "one\ntwo");
    socket.close();
  },

  "a name stands before messages, and the page says who has written": async () => {
    const topic = randomUUID();
    const [ann, other] = [await opened({ topic }), await opened({ topic })];
    const socket = await otherClient(topic);
    await people(other, "Nobody who gave a name has written since you came.");
    await name(ann).fill("Ann");
    let came = nextMessage(socket);
    await say(ann, "hello");
    assert.equal(await came, "<Ann> hello");
    for (const page of [ann, other]) {
      await shows(page, "hello");
      assert.equal(await page.locator("#list b").textContent(), "Ann");
      await people(page, "Have written here: Ann");
    }
    assert.equal(await ann.locator("#list li.own").count(), 1);
    came = nextMessage(socket);
    await say(other, "without a name");
    await came;
    await shows(ann, "without a name");
    await people(ann, "Have written here: Ann");
    came = nextMessage(socket);
    await say(ann, '{"a": 1}');
    assert.equal(await came, '{"a": 1}', "JSON is for programs");
    socket.close();
  },

  "a name that could not be told from the message is refused": async () => {
    const page = await opened();
    for (const wrong of ["a>b", "<", "x".repeat(41)]) {
      await name(page).fill(wrong);
      await say(page, "hello");
      assert.equal(await field(page).inputValue(), "hello", wrong);
    }
    await name(page).fill("x".repeat(40));
    await say(page, "hello");
    await shows(page, "hello");
    assert.equal(await entries(page).count(), 1);
  },

  "names without end do not fill the page": async () => {
    const topic = randomUUID();
    const page = await opened({ topic });
    const socket = await otherClient(topic);
    for (let n = 0; n < 100; n += 1) socket.send(`<name ${n}> hello`);
    await page.locator("#list b").getByText("name 99", { exact: true }).waitFor();
    const latest = Array.from({ length: 20 }, (_, n) => `name ${99 - n}`);
    await people(page, `Have written here: ${latest.join(", ")}`);
    assert.deepEqual(await page.locator("#people bdi").allTextContents(), latest, "none turns the others around");
    socket.close();
  },

  "JSON can be seen on lines, with every number as it came, and copied": async () => {
    const topic = randomUUID();
    const page = await opened({ topic, permissions: ["clipboard-read", "clipboard-write"] });
    const socket = await otherClient(topic);
    const json = String.raw`{"id":12345678901234567890, "a": [ ],"s":"x: {, \" [","n":[1.0,{"id":null}],"id":2}`;
    const lines = [
      "{",
      '  "id": 12345678901234567890,',
      '  "a": [ ],',
      String.raw`  "s": "x: {, \" [",`,
      '  "n": [',
      "    1.0,",
      "    {",
      '      "id": null',
      "    }",
      "  ],",
      '  "id": 2',
      "}",
    ].join("\n");
    socket.send("[no JSON]");
    socket.send(json);
    await shows(page, json);
    const view = page.locator("#list details");
    assert.equal(await view.count(), 1);
    await view.locator("summary").click();
    assert.equal(await view.locator("pre").textContent(), lines);
    await view.getByRole("button", { name: "Copy" }).click();
    await view.getByRole("button", { name: "Copied" }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), lines);
    socket.close();
  },

  "JSON that is opened at the bottom is in sight": async () => {
    const topic = randomUUID();
    const page = await opened({ topic });
    const socket = await otherClient(topic);
    for (let n = 0; n < 50; n += 1) socket.send(`message ${n}`);
    socket.send('{"a": [1, 2, 3]}');
    await page.locator("#list summary").click();
    await page.waitForFunction(() => {
      const bottom = (selector) => document.querySelector(selector)?.getBoundingClientRect().bottom;
      return bottom("#list pre") < bottom("#log");
    });
    socket.close();
  },

  // Each bracket was indented by its depth: gigabytes.
  "JSON of nothing but brackets does not stop the page": async () => {
    const topic = randomUUID();
    const page = await opened({ topic });
    const socket = await otherClient(topic);
    socket.send("[".repeat(30_000) + "]".repeat(30_000));
    await page.locator("#list summary").click();
    const length = await page.locator("#list pre").evaluate((pre) => pre.textContent.length);
    assert.ok(length < 3_000_000, `${length} characters`);
    socket.close();
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
    await reason(page, "Closed with code 1011: for this test");
    await page.clock.runFor(100); // the list is drawn
    await shows(page, "Not confirmed, perhaps not delivered: into the void");
  },

  "a message that does not come back for long is noted, and the person can connect anew": async () => {
    const prepare = async (page) => {
      await stopClock(page);
      await page.routeWebSocket(/\/ws/, () => {}); // takes everything and answers nothing
    };
    const page = await opened({ prepare });
    await say(page, "hello?");
    await page.clock.runFor(40_000);
    await reason(page, "The server has not confirmed your last message yet.");
    await page.getByRole("button", { name: "Connect now" }).click();
    await state(page, /^Connected$/);
    await page.clock.runFor(100);
    await shows(page, "Not confirmed, perhaps not delivered: hello?");
    assert.equal(await page.locator("#why").textContent(), "");
  },

  "the snippets name this host and topic, and contain nothing that a shell could misread": async () => {
    const snippets = async (topic) => (await opened({ topic })).locator("pre code").allTextContents();
    const plain = (await snippets("cats")).join("\n");
    assert.ok(plain.includes(`framecast connect 'ws://${server.host}/ws?topic=cats'`), plain);
    assert.ok(plain.includes(`curl http://${server.host}/publish`), plain);
    assert.ok(plain.includes('"topic": "cats"'), plain);
    for (const call of ["useMessages", "DefaultDialer.Dial(", `file_get_contents("http://${server.host}/publish"`]) assert.ok(plain.includes(call), call);
    assert.equal(plain.split(`"ws://${server.host}/ws?topic=cats"`).length - 1, 5, "the snippets of all languages that connect");
    assert.doesNotMatch(plain, /WS_URL|HTTP_URL|TOPIC/);
    const hostile = (await snippets(`'; rm -rf "$HOME" #`)).join("\n");
    assert.ok(hostile.includes(`framecast connect 'ws://${server.host}/ws'`), hostile);
    assert.ok(!hostile.includes("rm -rf"), hostile);
  },
};
