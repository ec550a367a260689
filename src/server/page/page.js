const SHOWN_ENTRIES = 500;
const ANNOUNCED_ENTRIES = 5; // a screen reader is not told of more at once
const SHOWN_NAMES = 20;
const DEEPEST_INDENT = 20; // 30,000 brackets in a row would become gigabytes of spaces
const BACKOFF_BASE_MS = 500;
const BACKOFF_CAP_MS = 30_000;
const STABLE_MS = 5_000; // a connection that lived this long starts the backoff afresh
const CONFIRM_MS = 10_000;
const REQUEST_MS = 5_000;
const TICK_MS = 20_000;
const ASLEEP_MS = 90_000; // a hidden page may tick once a minute only; the server gives up after 35 s

const byId = (id) => document.getElementById(id);
const [log, list, topicField, nameField, textField, why] = ["log", "list", "topic", "name", "text", "why"].map(byId);
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

let topic, socket, timer;
let attempts = 0;
let toldLoss = ""; // the loss that the log has already
let unconfirmed = []; // own messages that have not come back yet, oldest first: { data, text, at }
let arrived = []; // entries that are not in the list yet
let isFollowing = true; // the log stays at its bottom when its height changes
let names = new Set(); // of those who have written in this topic, the latest last
let lastTick = Date.now();

// Where the server's / is: a proxy may have put it behind a path.
const base = location.origin + location.pathname.replace(/\/+$/, "");

function httpUrl(name) {
  return `${base}/ws${name === "lobby" ? "" : `?topic=${encodeURIComponent(name)}`}`;
}

function socketUrl(name) {
  return httpUrl(name).replace(/^http/, "ws");
}

// Connection: one socket at a time; events of a socket that was replaced are ignored.

function connect() {
  clearTimeout(timer);
  show("connecting", "Connecting");
  const current = new WebSocket(socketUrl(topic));
  let openedAt;
  socket = current;
  current.binaryType = "arraybuffer";
  current.onopen = () => {
    if (current !== socket) return;
    openedAt = Date.now();
    why.textContent = "";
    if (toldLoss) add("notice", "Connected again. Messages sent in the meantime were missed.");
    toldLoss = "";
    show("connected", "Connected");
  };
  current.onmessage = ({ data }) => { if (current === socket) receive(data); };
  current.onclose = async ({ code, reason }) => {
    if (current !== socket) return;
    if (Date.now() - openedAt >= STABLE_MS) attempts = 0;
    const end = openedAt || code !== 1006 ? closed(code, reason) : await refusal(httpUrl(topic));
    if (current === socket) disconnected(end, code);
  };
}

function closed(code, reason) {
  const loss = code === 1006 ? "The connection was lost." : `Closed with code ${code}${reason && `: ${reason}`}`;
  return { loss, isFinal: code >= 4500 && code <= 4999 }; // the server said: do not come back
}

// Asks why a handshake failed. The browser does not say it, but the server tells a plain request. An OPTIONS has the
// origin of this page, which a GET to the page's own server lacks. Without a referrer it would be `null`.
async function refusal(url) {
  try {
    for (const method of ["OPTIONS", "GET"]) {
      const signal = AbortSignal.timeout(REQUEST_MS);
      const response = await fetch(url, { method, cache: "no-store", redirect: "manual", referrerPolicy: "same-origin", signal });
      if (response.type === "opaqueredirect") return { loss: "Refused: the server sends this page elsewhere. Load it again." };
      const { status } = response;
      const answer = await response.json().catch(() => null);
      // A proxy may refuse every OPTIONS: only what the server says counts.
      if (method === "OPTIONS" && !(status === 403 && answer?.error)) continue;
      if (status === 426 || response.ok) return { loss: "The connection was lost, or a proxy on the way does not pass WebSockets on." };
      const mayPass = status >= 500 || [408, 409, 425, 429].includes(status);
      return { loss: `Refused with ${status}: ${answer?.error || response.statusText || "no reason given"}`, isFinal: !mayPass };
    }
  } catch {
    return { loss: "The server can't be reached." };
  }
}

function disconnected({ loss, isFinal = false }, code) {
  tellLoss(loss);
  giveUpUnconfirmed(code);
  if (isFinal) return show("closed", "Closed");
  show("reconnecting", "Reconnecting");
  const at = Date.now() + Math.random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** attempts++);
  (function wait() {
    const left = at - Date.now();
    if (left <= 0) return connect();
    byId("countdown").textContent = ` in ${Math.ceil(left / 1000)} s`;
    timer = setTimeout(wait, left % 1000 || 1000);
  })();
}

// The log keeps the reason; the line above the log has it until the page is connected again.
function tellLoss(loss) {
  why.textContent = loss;
  if (loss !== toldLoss) add("notice", loss);
  toldLoss = loss;
}

function show(state, text) {
  document.body.dataset.state = state;
  byId("state").textContent = text;
  byId("countdown").textContent = "";
  byId("send").disabled = state !== "connected";
  byId("retry").hidden = state === "connected" || state === "connecting";
}

function leave() {
  const previous = socket;
  socket = null;
  previous?.close(1000);
  giveUpUnconfirmed();
}

function renew(loss) {
  tellLoss(loss);
  leave();
  connect();
}

function join(name) {
  leave();
  if (topic !== undefined) add("notice", `Now in topic ${name}`);
  topic = topicField.value = name;
  attempts = 0;
  why.textContent = toldLoss = "";
  names = new Set();
  showNames();
  document.title = `${name} · framecast`;
  byId("second").href = location.href;
  fillSnippets();
  connect();
}

function topicOfHash() {
  try { return decodeURIComponent(location.hash.slice(1)) || "lobby"; } catch { return "lobby"; }
}

// While a phone or a laptop sleeps, nothing runs here. Afterwards the socket is dead, and some browsers never say so.
function tick() {
  const slept = Date.now() - lastTick;
  lastTick = Date.now();
  if (document.body.dataset.state !== "connected") return;
  if (slept > ASLEEP_MS) return renew("This page was asleep.");
  if (Date.now() - unconfirmed[0]?.at > CONFIRM_MS && byId("retry").hidden) {
    why.textContent = "The server has not confirmed your last message yet.";
    add("notice", why.textContent);
    byId("retry").hidden = false;
  }
}

// Messages: plain text on the wire, so that any client can take part. A name stands in front: <Ann> hello

function say(text) {
  const name = nameField.value.trim();
  const data = name && !isJson(text) ? `<${name}> ${text}` : text;
  socket.send(data);
  unconfirmed.push({ data, text, at: Date.now() });
}

function receive(data) {
  if (typeof data !== "string") return add("binary", `<binary ${data.byteLength} bytes>`);
  const isOwn = confirmOwn(data);
  const [, name = "", text = data] = data.match(/^<([^<>\n]{1,40})> ([^]*)$/u) ?? [];
  names.delete(name);
  if (name) names.add(name);
  if (names.size > SHOWN_NAMES) names.delete(names.values().next().value);
  add(isOwn ? "own" : "text", text, name);
}

function confirmOwn(data) {
  const index = unconfirmed.findIndex((own) => own.data === data);
  if (index < 0) return false;
  unconfirmed.splice(index, 1);
  if (unconfirmed.length === 0) {
    why.textContent = "";
    byId("retry").hidden = true;
  }
  return true;
}

function showNames() {
  const shown = [...names].reverse();
  byId("people").textContent = shown.length ? "Have written here: " : "Nobody who gave a name has written since you came.";
  // Each in an element of its own, so that no name turns the others around.
  shown.forEach((name, index) => byId("people").append(index ? ", " : "", element("bdi", {}, name)));
}

// Nothing of a message is delivered that is too big (1009), so it can be changed and sent again.
function giveUpUnconfirmed(code) {
  const [longest] = [...unconfirmed].sort((one, other) => other.data.length - one.data.length);
  const tooBig = code === 1009 && textField.value === "" ? longest : undefined;
  for (const own of unconfirmed) {
    if (own !== tooBig) add("notice", `Not confirmed, perhaps not delivered: ${own.data}`);
  }
  unconfirmed = [];
  if (!tooBig) return;
  add("notice", `Not sent: ${new Blob([tooBig.data]).size} bytes are more than this server takes. The text is in the field again.`);
  textField.value = tooBig.text;
  fitField();
}

// Entries are drawn in batches, so that a flood of messages doesn't freeze the page.
function add(kind, text, name = "") {
  if (arrived.push({ kind, text, name, at: new Date() }) === 1) setTimeout(draw, 16);
  if (arrived.length > 2 * SHOWN_ENTRIES) arrived.splice(0, SHOWN_ENTRIES);
}

function draw() {
  const wasAtBottom = isAtBottom();
  log.ariaLive = arrived.length > ANNOUNCED_ENTRIES ? "off" : "polite";
  list.append(...arrived.slice(-SHOWN_ENTRIES).map(entry));
  arrived = [];
  showNames();
  const height = log.scrollHeight;
  while (list.childElementCount > SHOWN_ENTRIES) list.firstElementChild.remove();
  if (wasAtBottom) return follow();
  log.scrollTop -= height - log.scrollHeight;
  byId("newer").hidden = false;
}

function element(tag, properties, ...children) {
  const created = Object.assign(document.createElement(tag), properties);
  created.append(...children);
  return created;
}

function entry({ kind, text, name, at }) {
  const time = element("time", { dateTime: at.toISOString() }, clock.format(at));
  const content = element("div", {});
  // Each has a direction of its own, so that neither turns the other around.
  if (name) content.append(element("b", { dir: "auto" }, name), " ");
  content.append(element("span", { dir: "auto" }, text));
  if ((kind === "own" || kind === "text") && isJson(text)) content.append(jsonView(text));
  return element("li", { className: kind }, time, content);
}

function jsonView(text) {
  const view = element("details", {}, element("summary", {}, "JSON"));
  view.ontoggle = () => {
    if (view.open && view.childElementCount === 1) {
      const pre = element("pre", { dir: "ltr" }, onLines(text));
      view.append(copyButton(pre), pre);
    }
    if (view.open && isFollowing) follow();
    if (view.open) view.scrollIntoView({ block: "nearest" });
    isFollowing = isAtBottom();
  };
  return view;
}

function isJson(text) {
  if (!/^\s*[[{]/.test(text)) return false;
  try { return Boolean(JSON.parse(text)); } catch { return false; }
}

// Puts JSON on lines without taking it apart: numbers, escapes and repeated keys stay as they came.
function onLines(json) {
  let depth = 0;
  const line = () => `\n${"  ".repeat(Math.min(depth, DEEPEST_INDENT))}`;
  return json.trim().replace(/"[^"\\]*(?:\\.[^"\\]*)*"|\{\s*\}|\[\s*\]|\s+|[{}[\],:]/g, (token) => {
    if (/^\s/.test(token)) return "";
    if (token === "{" || token === "[") depth += 1;
    if (token === "}" || token === "]") depth -= 1;
    if (token === "}" || token === "]") return line() + token;
    if (token === "{" || token === "[" || token === ",") return token + line();
    return token === ":" ? ": " : token;
  });
}

function isAtBottom() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 24;
}

function follow() {
  log.scrollTop = log.scrollHeight;
  isFollowing = true;
  byId("newer").hidden = true;
}

// Copying: on a page without TLS there is no clipboard API.

function copyButton(of) {
  const button = element("button", { className: "quiet", type: "button" }, "Copy");
  button.onclick = async () => {
    getSelection().selectAllChildren(of);
    const done = navigator.clipboard ? await navigator.clipboard.writeText(of.textContent).then(() => true, () => false) : document.execCommand("copy");
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  return button;
}

// Snippets: the page's own host; a topic that a shell or a string could misread is left out.

for (const code of document.querySelectorAll("pre code")) {
  code.parentElement.after(copyButton(code));
  code.dataset.template = code.textContent;
}

function fillSnippets() {
  const name = /^[\p{L}\p{N}_.: -]+$/u.test(topic) ? topic : "lobby";
  const values = { WS_URL: socketUrl(name), HTTP_URL: base, TOPIC: name };
  for (const code of document.querySelectorAll("pre code")) {
    code.textContent = code.dataset.template.replace(/WS_URL|HTTP_URL|TOPIC/g, (key) => values[key]);
  }
}

// The field: as high as its text, and it keeps the keyboard of a phone open when Send is touched.

function fitField() {
  textField.style.height = "auto";
  textField.style.height = `${textField.scrollHeight + 2}px`;
}

textField.oninput = fitField;
textField.onkeydown = (event) => {
  // The Enter that ends a composition is no Enter; Safari tells it by 229 alone.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  byId("say").requestSubmit();
};
byId("send").onmousedown = (event) => event.preventDefault();
byId("say").onsubmit = (event) => {
  event.preventDefault();
  if (textField.value === "" || socket?.readyState !== WebSocket.OPEN || !nameField.reportValidity()) return;
  say(textField.value);
  textField.value = "";
  fitField();
};
byId("join").onsubmit = (event) => {
  event.preventDefault();
  const name = topicField.value.trim() || "lobby";
  if (name === topic && ["reconnecting", "closed"].includes(document.body.dataset.state)) return connect();
  location.hash = encodeURIComponent(name);
};
byId("retry").onclick = () => {
  if (document.body.dataset.state === "connected") renew("The connection was given up.");
  else connect();
};
byId("newer").onclick = follow;
log.onscroll = () => {
  isFollowing = isAtBottom();
  if (isFollowing) byId("newer").hidden = true;
};
new ResizeObserver(() => { if (isFollowing && list.firstChild) follow(); }).observe(log);
onhashchange = () => { if (topicOfHash() !== topic) join(topicOfHash()); };
ononline = () => { if (document.body.dataset.state === "reconnecting") connect(); };
document.addEventListener("visibilitychange", () => {
  tick();
  if (!document.hidden && document.body.dataset.state === "reconnecting") connect();
});
setInterval(tick, TICK_MS);
join(topicOfHash());
