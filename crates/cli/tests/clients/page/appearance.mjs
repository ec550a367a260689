// Tests of the page's appearance: it fits, nothing jumps, and the messages stand where they are read.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { CuttableProxy, otherClient } from "./peers.mjs";
import { field, open, opened, PHONE, pictures, say, shows, state } from "./window.mjs";

const SIDEWAYS = { ...PHONE, viewport: { width: 844, height: 390 } };
const SMALL_SIDEWAYS = { ...PHONE, viewport: { width: 667, height: 320 } };

/** Returns where the parts of the page are. */
const places = (page) => page.evaluate(() => {
  const place = (id) => {
    const { x, y, width, height } = document.getElementById(id).getBoundingClientRect();
    return { id, x, y, width, height };
  };
  return ["topic", "state", "note", "log", "text", "send"].map(place).map((each) => {
    if (each.id === "state") delete each.width; // the words differ
    return each;
  });
});

export const appearance = {
  "the page fits a phone": async () => {
    const page = await opened(PHONE);
    await say(page, "a-long-word-without-any-place-to-break-it".repeat(10));
    await page.locator("#list li.own").waitFor();
    await page.evaluate(() => { for (const part of document.querySelectorAll("details")) part.name = "", part.open = true; });
    const [width, content] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
    assert.equal(width, 390);
    assert.ok(content <= width, `${content} px wide`);
    for (const control of await page.locator("input, textarea, button:visible, summary, pre, #list li").all()) {
      const { x, width: own } = await control.boundingBox();
      assert.ok(x >= 16 && x + own <= width - 16, `${await control.evaluate((element) => element.outerHTML)} is cut off`);
    }
    for (const input of await page.locator("input, textarea").all()) {
      const size = await input.evaluate((element) => parseFloat(getComputedStyle(element).fontSize));
      assert.ok(size >= 16, `an input of ${size} px makes a phone zoom in`);
    }
  },

  "a phone held sideways shows the messages and the field together, without scrolling": async () => {
    for (const look of [SIDEWAYS, SMALL_SIDEWAYS]) {
      const page = await opened(look);
      await say(page, "can you see me?");
      await shows(page, "can you see me?");
      await page.evaluate(() => scrollTo(0, 0));
      const { height, width } = look.viewport;
      for (const part of ["#topic", "#list li", "#text", "#send"]) {
        const box = await page.locator(part).boundingBox();
        assert.ok(box.y >= 0 && box.y + box.height <= height, `${part} at ${box.y}, ${box.height} px high, of ${height}`);
        assert.ok(box.x >= 0 && box.x + box.width <= width, `${part} at ${box.x}, ${box.width} px wide, of ${width}`);
      }
      await page.context().close();
    }
  },

  "nothing moves when the connection is lost and made again": async () => {
    for (const look of [{}, PHONE, SIDEWAYS]) {
      let proxy = await CuttableProxy.listen();
      const { port } = proxy;
      const page = await open({ at: `http://127.0.0.1:${port}`, expectLoss: true, ...look });
      const connecting = await places(page);
      await state(page, /^Connected$/);
      assert.deepEqual(await places(page), connecting);
      await proxy.cut();
      await state(page, /^Reconnecting in \d+ s$/);
      assert.deepEqual(await places(page), connecting);
      proxy = await CuttableProxy.listen(port);
      await state(page, /^Connected$/);
      assert.deepEqual(await places(page), connecting);
      await page.context().close();
      await proxy.cut();
    }
  },

  "the first messages stand at the bottom, above the field": async () => {
    const page = await opened();
    await say(page, "one");
    await shows(page, "one");
    const [log, item] = [await page.locator("#log").boundingBox(), await page.locator("#list li").boundingBox()];
    const gap = log.y + log.height - item.y - item.height;
    assert.ok(gap >= 0 && gap < 20, `${gap} px below the first message`);
  },

  "the latest message stays in sight when the field grows": async () => {
    const topic = randomUUID();
    const page = await opened({ topic });
    const socket = await otherClient(topic);
    for (let n = 0; n < 100; n += 1) socket.send(`message ${n}`);
    await shows(page, "message 99");
    await field(page).focus();
    await page.keyboard.insertText("a\nb\nc\nd");
    await page.waitForFunction(() => {
      const log = document.getElementById("log");
      return log.scrollHeight - log.scrollTop - log.clientHeight < 2;
    });
    const [log, text] = [await page.locator("#log").boundingBox(), await field(page).boundingBox()];
    assert.ok(text.height > 80, `the field is ${text.height} px high`);
    assert.ok(text.y >= log.y + log.height, "the field is below the messages");
    socket.close();
  },

  // Safari has no scroll anchoring, so the page does it.
  "old messages that leave the list do not move those that are being read": async () => {
    const topic = randomUUID();
    const page = await opened({ topic });
    const socket = await otherClient(topic);
    for (let n = 0; n < 500; n += 1) socket.send(`message ${n}`);
    await shows(page, "message 499");
    const read = page.locator("#list li", { hasText: /message 300$/ });
    await read.evaluate((item) => item.scrollIntoView({ block: "center" }));
    const before = await read.boundingBox();
    for (let n = 500; n < 600; n += 1) socket.send(`message ${n}`);
    await shows(page, "message 599");
    const after = await read.boundingBox();
    assert.ok(Math.abs(after.y - before.y) < 2, `from ${before.y} to ${after.y}`);
    await page.getByRole("button", { name: "Newer messages" }).waitFor();
    socket.close();
  },

  "pictures are taken": async () => {
    mkdirSync(pictures, { recursive: true });
    const looks = {
      light: { colorScheme: "light" },
      dark: { colorScheme: "dark" },
      phone: { colorScheme: "light", ...PHONE, deviceScaleFactor: 2 },
      sideways: { colorScheme: "light", ...SIDEWAYS, deviceScaleFactor: 2 },
    };
    const json = '{"temperature": 21.5, "unit": "°C"}';
    const lines = ["anyone here?", "<Ben> yes, in the second window", "JSON, too?", json, "same order everywhere ✓"];
    for (const [name, look] of Object.entries(looks)) {
      const topic = `pictures-${randomUUID().slice(0, 8)}`;
      const page = await opened({ topic, ...look });
      await page.getByLabel("Your name").fill("Ann");
      const socket = await otherClient(topic);
      for (const [index, line] of lines.entries()) {
        if (index % 2 === 0) await say(page, line);
        else socket.send(line);
        await shows(page, line.replace("<Ben> ", ""));
      }
      if (name === "dark") await page.locator("#list summary").click();
      await page.screenshot({ path: join(pictures, `page-${name}.png`), fullPage: name === "phone" });
      socket.close();
    }
  },
};
