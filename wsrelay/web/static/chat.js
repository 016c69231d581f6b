// The demo chat: one WebSocket with the raw dialect, no library.
//
//   connecting --> open --> waiting --> connecting ...
//        |           |         the connection failed: retry after a growing, random delay
//        +-----------+--> stopped      the relay rejected the client: only the button retries
//        +-----------+--> asleep       the page was left: retry when it is shown again
//
// enter() makes every change of state, and with it the one notice that is shown.

const MAX_SHOWN = 500;
const MAX_PENDING = 20;
const MAX_TRIES = 5; // a message that ends every connection must not end them for ever
const BACKOFF_FIRST_MS = 500;
const BACKOFF_CAP_MS = 20_000;
const CONNECT_MS = 10_000; // the browser itself may wait minutes for a silent host
const STEADY_MS = 5_000; // healthy after this long; sooner, a crash loop would reset the back-off
const ECHO_MS = 10_000; // every message is echoed, so silence after sending means a dead connection
const FLUSH_MS = 30; // one layout per burst, not one per message

const LABELS = {
  connecting: "Connecting", open: "Connected", waiting: "Reconnecting", stopped: "Stopped", asleep: "Paused",
};

// Shown when the relay sent no reason of its own.
const REASONS = {
  1001: "The relay is shutting down",
  1006: "The connection was lost",
  1008: "The relay rejected this connection",
  1009: "The message was too large",
  1012: "The relay is restarting",
  1013: "The relay is busy",
  4503: "You may not publish on this channel",
};

const ui = Object.fromEntries([...document.querySelectorAll("[id]")].map((found) => [found.id, found]));
const isReadOnly = document.body.dataset.readOnly === "true";
const maxMessageBytes = Number(document.body.dataset.maxMessageBytes);
const plural = (count, noun) => `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;

// ---- The connection ---------------------------------------------------------------------------

const page = new URL("ws/chat", location.href); // the same address, for a plain request
page.search = page.hash = "";
const url = new URL(page);
url.protocol = location.protocol === "https:" ? "wss:" : "ws:";

let state = "";
let socket = null;
let asking = null; // aborts the request for the reason of a failed handshake
let timer = 0; // belongs to the current state
let echoTimer = 0;
let failures = 0;
let wasOpen = false;

function enter(next, why = "") {
  clearTimeout(timer);
  if (next !== "open") hangUp();
  if (next === "stopped") giveUp();
  state = next;
  ui.status.dataset.state = next;
  ui.state.textContent = LABELS[next];
  ui.countdown.textContent = "";
  setProblem("");
  // Keep the reason during the next attempt, so that the notice does not flicker and is not read aloud again.
  if ((why || next === "open") && ui.why.textContent !== why) ui.why.textContent = why;
  const hides = ui.why.textContent === "";
  if (hides && ui.notice.contains(document.activeElement)) focusComposer();
  ui.notice.hidden = hides;
  ENTRY[next]?.();
}

const ENTRY = {
  connecting() {
    socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => enter("open");
    socket.onmessage = (event) => receive(event.data);
    socket.onclose = closed;
    timer = setTimeout(() => enter("waiting", "The relay does not respond"), CONNECT_MS);
  },
  open() {
    if (wasOpen) show({ kind: "note", text: "Reconnected. Messages published meanwhile are not shown." });
    wasOpen = true;
    timer = setTimeout(() => { failures = 0; }, STEADY_MS);
    pending.forEach(transmit);
  },
  waiting() {
    // Full jitter: after a restart the clients must not all reconnect at the same time.
    const ceiling = Math.min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS * 2 ** failures);
    failures += 1;
    countDown(performance.now() + Math.random() * ceiling);
  },
};

function countDown(due) {
  const left = due - performance.now();
  if (left <= 0) return enter("connecting");
  ui.countdown.textContent = `in ${Math.ceil(left / 1000)} s`;
  timer = setTimeout(countDown, left % 1000 || 1000, due);
}

function closed({ code, reason }) {
  if (state === "connecting") return void askWhy();
  const isRejected = [1003, 1007, 1008, 1009].includes(code) || (code >= 4500 && code <= 4999);
  const why = reason || REASONS[code] || "The relay closed the connection";
  enter(isRejected ? "stopped" : "waiting", code === 1006 ? why : `${why} (code ${code})`);
}

// A browser hides the response to a rejected handshake. The relay answers a plain request to the same address with the
// same sentence. The origin goes in Referer, because browsers send no Origin with a request to the page's own host.
async function askWhy() {
  asking = new AbortController();
  const { signal } = asking;
  let verdict;
  try {
    verdict = await judge(await fetch(page, { cache: "no-store", referrerPolicy: "origin", signal }));
  } catch {
    verdict = ["waiting", navigator.onLine ? "The relay cannot be reached" : "This device is offline"];
  }
  if (!signal.aborted) enter(...verdict);
}

async function judge(response) {
  const { status } = response;
  const isText = response.headers.get("content-type")?.startsWith("text/plain");
  const text = isText ? (await response.text()).trim() : "";
  if (status === 426) {
    return ["waiting", "The relay answers, but the handshake did not succeed. If it never does, a proxy in between "
      + "does not pass the Upgrade header on"];
  }
  const isFinal = status >= 400 && status < 500 && ![408, 425, 429].includes(status);
  // Longer texts are those of other servers.
  const why = status >= 400 && text && text.length < 500 ? `${text} (HTTP ${status})`
    : `The server does not open a WebSocket here: it answers with HTTP ${status}`;
  return [isFinal ? "stopped" : "waiting", why];
}

function hangUp() {
  clearTimeout(echoTimer);
  asking?.abort();
  if (socket) {
    // Events of the old socket must not affect its successor.
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    socket = null;
  }
  for (const message of pending) {
    message.isSent = false;
    if (message.tries >= MAX_TRIES) markUnsent(message);
    else label(message.row, "not sent yet");
  }
  prunePending();
}

// ---- Own messages, until the relay echoes them -------------------------------------------------

// A message is sent again after a reconnect until its echo has come. Pages show what comes twice once, by its id.
let pending = [];

function transmit(message) {
  socket.send(message.frame);
  message.isSent = true;
  message.tries += 1;
  label(message.row, "sending");
  watchEcho();
}

function watchEcho() {
  clearTimeout(echoTimer);
  if (pending.some(({ isSent }) => isSent)) {
    echoTimer = setTimeout(() => enter("waiting", "The relay stopped responding"), ECHO_MS);
  }
}

function giveUp() {
  pending.forEach(markUnsent);
  prunePending();
}

function markUnsent(message) {
  message.isUnsent = true;
  label(message.row, message.tries ? "may not have arrived" : "not sent");
  message.row.classList.replace("pending", "unsent");
  ui.messages.append(message.row);
}

function prunePending() {
  pending = pending.filter(({ isUnsent }) => !isUnsent);
}

const label = (item, text) => { item.querySelector("time").textContent = text; };

// ---- Messages ---------------------------------------------------------------------------------

const seen = new Set(); // the ids of the latest messages

function receive(data) {
  watchEcho();
  if (data instanceof ArrayBuffer) {
    return show({ kind: "outside", name: "PUBLISH", text: plural(data.byteLength, "byte") });
  }
  const chat = parseChat(data);
  if (!chat) return show({ kind: "outside", name: "PUBLISH", text: data });
  const { name, text, id } = chat;
  const own = id && pending.find((message) => message.id === id);
  if (own) {
    pending = pending.filter((message) => message !== own);
    watchEcho();
  }
  if (id && seen.has(id)) return;
  if (id) seen.add(id);
  if (seen.size > MAX_SHOWN) seen.delete(seen.values().next().value);
  show({ kind: own ? "own" : "peer", name: name.trim() || "anonymous", text, replaces: own?.row });
}

// Only objects of exactly a name, a text and perhaps an id: of any other, showing these would hide the rest.
function parseChat(data) {
  try {
    const { name, text, id = "", ...rest } = JSON.parse(data);
    const fits = [name, text, id].every((value) => typeof value === "string") && !Object.keys(rest).length;
    return fits ? { name, text, id } : null;
  } catch {
    return null;
  }
}

const arrivals = [];
let flushTimer = 0;
let atBottom = true;
const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });

function show(message) {
  arrivals.push({ ...message, at: new Date() });
  if (arrivals.length > MAX_SHOWN) arrivals.shift().replaces?.remove();
  flushTimer ||= setTimeout(flush, FLUSH_MS);
}

function flush() {
  flushTimer = 0;
  const { log, messages } = ui;
  for (const message of arrivals.splice(0)) {
    messages.append(row(message, messages.lastElementChild));
    message.replaces?.remove();
  }
  const before = log.scrollHeight;
  while (messages.childElementCount > MAX_SHOWN) messages.firstElementChild.remove();
  // A reader who has scrolled up keeps the same lines in view while old ones are removed.
  if (atBottom) toBottom();
  else log.scrollTop -= before - log.scrollHeight;
  ui.newest.hidden = atBottom;
}

const toBottom = () => { ui.log.scrollTop = ui.log.scrollHeight; };

// Only textContent below: messages are never markup.
function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function row({ kind, name = "", text, at }, previous) {
  if (kind === "note") return element("li", kind, text);
  const item = element("li", kind, "");
  const by = element("p", "by", "");
  const who = element("span", "who", kind === "own" ? `${name} (you)` : name);
  const time = element("time", "", clock.format(at));
  const body = element("p", "body", text);
  item.title = time.dateTime = at.toISOString();
  if (kind === "peer") who.dataset.tone = [...name].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 9973, 0) % 8;
  who.dir = body.dir = "auto"; // right-to-left text must not affect its surroundings
  by.append(who, " ", time);
  item.append(by, body);
  // Show sender and minute once per run of messages.
  item.dataset.run = `${kind} ${time.textContent} ${name}`;
  item.classList.toggle("more", previous?.dataset.run === item.dataset.run);
  return item;
}

// ---- The composer -----------------------------------------------------------------------------

// Storage may be disabled, and then any access throws.
function remember(name) {
  try {
    if (name === undefined) return localStorage.getItem("wsrelay.name") ?? "";
    localStorage.setItem("wsrelay.name", name);
  } catch { /* the name is not remembered */ }
  return "";
}

function setProblem(text) {
  ui.problem.textContent = text;
  ui.text.setAttribute("aria-invalid", String(text !== ""));
}

function send() {
  const text = ui.text.value;
  if (!text.trim()) return;
  if (!["open", "connecting", "waiting"].includes(state)) return setProblem("Not connected: the message was not sent.");
  if (pending.length >= MAX_PENDING) return setProblem(`${plural(pending.length, "message")} are still waiting.`);
  const id = Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(36)).join("");
  const name = ui.name.value.trim() || "anonymous";
  const frame = JSON.stringify({ name, text, id });
  const size = new TextEncoder().encode(frame).length;
  if (size > maxMessageBytes) {
    return setProblem(`Too long: ${plural(size, "byte")}; the relay accepts ${plural(maxMessageBytes, "byte")} at most.`);
  }
  const message = { id, frame, tries: 0, isSent: false, isUnsent: false };
  message.row = row({ kind: "own", name, text, at: new Date() });
  message.row.classList.add("pending");
  label(message.row, "not sent yet");
  ui.pending.append(message.row);
  pending.push(message);
  if (state === "open") transmit(message);
  ui.text.value = "";
  setProblem("");
  atBottom = true; // show the writer the new message
  toBottom();
}

const focusComposer = () => (isReadOnly ? ui.log : ui.text).focus();

ui.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
  ui.text.focus();
});
ui.text.addEventListener("keydown", (event) => {
  // While an input method is composing, Enter selects a word.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
ui.text.addEventListener("input", () => setProblem(""));
ui.name.value = remember();
ui.name.addEventListener("input", () => remember(ui.name.value));

ui.log.addEventListener("scroll", () => {
  atBottom = ui.log.scrollHeight - ui.log.scrollTop - ui.log.clientHeight < 40;
  if (atBottom) ui.newest.hidden = true;
});
ui.newest.addEventListener("click", () => {
  toBottom();
  ui.log.focus(); // the button hides, and focus must not fall back to the top of the page
});
// A growing text field or a phone's keyboard makes the list smaller.
new ResizeObserver(() => { if (atBottom) toBottom(); }).observe(ui.log);

const retry = () => { if (state === "waiting") enter("connecting"); };
ui.again.addEventListener("click", () => {
  focusComposer(); // the button hides once connected
  if (state !== "connecting") enter("connecting");
});
window.addEventListener("online", retry);
window.addEventListener("offline", () => {
  if (["open", "connecting"].includes(state)) enter("waiting", "This device is offline");
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) retry(); });
// Close on leaving: a page with an open WebSocket is not kept in the back/forward cache.
window.addEventListener("pagehide", () => { if (state !== "stopped") enter("asleep"); });
window.addEventListener("pageshow", () => { if (state === "asleep") enter("connecting"); });

if (ui.api) ui.api.textContent = new URL(`.${ui.api.textContent}`, location.href).href;

enter("connecting");
