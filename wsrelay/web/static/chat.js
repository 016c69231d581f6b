// The demo chat: one WebSocket with the raw dialect, no library.
//
//   connecting --> open --> waiting --> connecting ...
//        |           |         the connection failed: retry after a growing, random delay
//        +-----------+--> stopped      the relay rejected the client: only the button retries
//        +-----------+--> asleep       the page was left: retry when it is shown again
//
// enter() makes every change of state.

const MAX_MESSAGE_BYTES = 65536; // the relay's default max_message_bytes; it closes with 1009 above that
const MAX_SHOWN = 500;
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
  1006: "The relay cannot be reached",
  1008: "The relay rejected this connection",
  1009: "The message was too large",
  1012: "The relay is restarting",
  1013: "The relay is busy",
  4503: "You may not publish on this channel",
};

const ui = Object.fromEntries([...document.querySelectorAll("[id]")].map((found) => [found.id, found]));
const plural = (count, noun) => `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;

// ---- The connection ---------------------------------------------------------------------------

const url = new URL("ws/chat", location.href);
url.protocol = location.protocol === "https:" ? "wss:" : "ws:";

let state = "";
let socket = null;
let timer = 0; // belongs to the current state
let echoTimer = 0;
let failures = 0;
let wasOpen = false;
const unechoed = []; // messages sent and not yet echoed: tells own messages from others

function enter(next, why = "") {
  clearTimeout(timer);
  if (next !== "open") hangUp();
  state = next;
  ui.status.dataset.state = next;
  ui.state.textContent = LABELS[next];
  ui.countdown.textContent = "";
  ui.send.disabled = next !== "open";
  ui.again.disabled = next === "connecting";
  // Keep the reason during the next attempt, so that the notice does not flicker.
  if (why || next === "open") ui.why.textContent = why;
  ui.notice.hidden = ui.why.textContent === "";
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
    setProblem("");
    timer = setTimeout(() => { failures = 0; }, STEADY_MS);
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
  const isRejected = [1003, 1007, 1008, 1009].includes(code) || (code >= 4500 && code <= 4999);
  // A browser reports 1006 both for a lost connection and for an upgrade rejected with an HTTP status.
  const lost = code === 1006 && state === "open" ? "The connection was lost" : "";
  const why = reason || lost || REASONS[code] || "The relay closed the connection";
  enter(isRejected ? "stopped" : "waiting", code === 1006 ? why : `${why} (code ${code})`);
}

function hangUp() {
  clearTimeout(echoTimer);
  if (socket) {
    // Events of the old socket must not affect its successor.
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    socket = null;
  }
  if (unechoed.length) {
    show({ kind: "note", text: `${plural(unechoed.length, "message")} of yours may not have arrived.` });
    unechoed.length = 0;
  }
}

function watchEcho() {
  clearTimeout(echoTimer);
  if (unechoed.length) echoTimer = setTimeout(() => enter("waiting", "The relay stopped responding"), ECHO_MS);
}

// ---- Messages ---------------------------------------------------------------------------------

function receive(data) {
  const index = unechoed.indexOf(data);
  if (index >= 0) unechoed.splice(index, 1);
  watchEcho();
  if (data instanceof ArrayBuffer) {
    return show({ kind: "outside", name: "PUBLISH", text: plural(data.byteLength, "byte") });
  }
  const chat = parseChat(data);
  if (!chat) return show({ kind: "outside", name: "PUBLISH", text: data });
  show({ kind: index >= 0 ? "own" : "peer", name: chat.name.trim() || "anonymous", text: chat.text });
}

// Only objects of exactly a name and a text: of any other, showing these two would hide the rest.
function parseChat(data) {
  try {
    const { name, text, ...rest } = JSON.parse(data);
    const fits = typeof name === "string" && typeof text === "string" && !Object.keys(rest).length;
    return fits ? { name, text } : null;
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
  if (arrivals.length > MAX_SHOWN) arrivals.shift();
  flushTimer ||= setTimeout(flush, FLUSH_MS);
}

function flush() {
  flushTimer = 0;
  const { log, messages } = ui;
  for (const message of arrivals.splice(0)) messages.append(row(message, messages.lastElementChild));
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
  if (socket?.readyState !== WebSocket.OPEN) return setProblem("Not connected: the message was not sent.");
  const frame = JSON.stringify({ name: ui.name.value.trim() || "anonymous", text });
  const size = new TextEncoder().encode(frame).length;
  if (size > MAX_MESSAGE_BYTES) {
    const most = MAX_MESSAGE_BYTES.toLocaleString();
    return setProblem(`Too long: ${plural(size, "byte")}; the relay accepts at most ${most}.`);
  }
  socket.send(frame);
  unechoed.push(frame);
  watchEcho();
  ui.text.value = "";
  setProblem("");
  atBottom = true; // show the writer the new message
}

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
ui.again.addEventListener("click", () => enter("connecting"));
window.addEventListener("online", retry);
document.addEventListener("visibilitychange", () => { if (!document.hidden) retry(); });
// Close on leaving: a page with an open WebSocket is not kept in the back/forward cache.
window.addEventListener("pagehide", () => { if (state !== "stopped") enter("asleep"); });
window.addEventListener("pageshow", () => { if (state === "asleep") enter("connecting"); });

enter("connecting");
