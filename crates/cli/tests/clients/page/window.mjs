// The browser of the tests, and its windows with the page.

import { randomUUID } from "node:crypto";
import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join, resolve } from "node:path";

const WAIT_MS = 20_000;
export const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

export const [base, folder, pictures, mode] = process.argv.slice(2);
if (!base || !folder || !pictures || ![undefined, "deflate"].includes(mode)) {
  console.error("usage: node page.mjs BASE_URL MODULES_FOLDER PICTURES_FOLDER [deflate]");
  process.exit(2);
}
export const require = createRequire(resolve(folder, "node_modules", "_"));
const { chromium } = require("playwright-core");
export const server = new URL(base);

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

export const browser = await chromium.launch({
  executablePath: browserPath(),
  chromiumSandbox: false,
  // Only the page may use the network, not the browser itself.
  args: ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

/** Problems in any window: console errors, exceptions, policy violations, requests to other hosts. */
export const problems = [];

/** Opens the page in a new window. `expectLoss`: errors of lost and refused connections are expected. */
export async function open({ at = server.origin, topic = randomUUID(), expectLoss = false, prepare, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  page.on("pageerror", (error) => problems.push(`exception: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") return;
    if (expectLoss && /^(WebSocket connection to|Failed to load resource)/.test(message.text())) return;
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

export const state = (page, text) => page.getByRole("status").filter({ hasText: text }).waitFor();
/** Waits until the line above the messages says why the page is not connected. */
export const reason = (page, text) => page.locator("#why").getByText(text, { exact: true }).waitFor();
export const entries = (page) => page.locator("#list li span");
export const shows = (page, text) => entries(page).getByText(text, { exact: true }).waitFor();
export const field = (page) => page.getByLabel("Message", { exact: true });
export const send = (page) => page.getByRole("button", { name: "Send" });

/** Opens the page in a new window, and waits until it is connected. */
export async function opened(options) {
  const page = await open(options);
  await state(page, /^Connected$/);
  return page;
}

export async function say(page, text) {
  await field(page).fill(text);
  await field(page).press("Enter");
}

/** Stops the clock of a window that is about to open; the test moves it. */
export async function stopClock(page) {
  await page.clock.install({ time: 0 });
  await page.clock.pauseAt(3_600_000);
}
