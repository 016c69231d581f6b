// The demo chat: receives by an event stream, sends by a WebSocket with the raw dialect. No library.

import * as members from "./members.js";
import { MAX_SHOWN, label, markUnsent, show, showPending } from "./messages.js";
import { historySize, isBase64, isReadOnly, maxBytes, plural, ui } from "./page.js";
import { Receiver } from "./receiver.js";
import { Sender } from "./sender.js";

const LABELS = {
  connecting: "Connecting", open: "Connected", waiting: "Reconnecting", stopped: "Stopped", asleep: "Paused",
};

const GAPS = {
  too_many: "more was said meanwhile than is sent at once",
  trimmed: "the oldest of it is no longer kept",
  expired: "it is no longer kept",
  other_entry: "the channel's history was made anew",
  unknown_position: "the channel's history was made anew",
  connection_lost: "the relay had lost Redis",
  no_history: "the channel keeps none",
};

// ---- The two connections ----------------------------------------------------------------------

const receiver = new Receiver({ changed: refresh, received });
const sender = new Sender({
  changed: refresh, labelled: label, unsent: markUnsent, silent: () => receiver.retryLater("The relay stopped responding"),
});

let shownState = "";
let wasOpen = false;
let countdownTimer = 0;

function refresh() {
  if (receiver.state !== shownState) {
    setProblem("");
    const before = shownState;
    shownState = receiver.state;
    ui.status.dataset.state = shownState;
    ui.state.textContent = LABELS[shownState];
    if (shownState === "open") opened();
    else if (before === "open") left();
    if (shownState === "stopped") sender.giveUp();
  }
  countDown();
  ui.composer.dataset.sender = sender.state;
  const why = receiver.state === "open" ? sender.why : receiver.why;
  if (ui.why.textContent !== why) ui.why.textContent = why;
  ui.again.textContent = receiver.state === "open" ? "Try again" : "Connect now";
  if (why === "" && ui.notice.contains(document.activeElement)) focusComposer();
  ui.notice.hidden = why === "";
}

function opened() {
  if (wasOpen && !historySize) show({ kind: "note", text: "Reconnected. Messages published meanwhile are not shown." });
  wasOpen = true;
  members.start();
  sender.resume();
}

function left() {
  members.stop();
  sender.pause();
}

function countDown() {
  clearTimeout(countdownTimer);
  const left = receiver.due - performance.now();
  ui.countdown.textContent = receiver.due && left > 0 ? `in ${Math.ceil(left / 1000)} s` : "";
  if (receiver.due && left > 0) countdownTimer = setTimeout(countDown, left % 1000 || 1000);
}

// ---- What comes -------------------------------------------------------------------------------

const seen = new Set(); // the ids and positions of the latest messages
let lastPosition = "";

function received(type, data, position) {
  const isKept = position !== lastPosition;
  lastPosition = position;
  if (type === "join" || type === "leave") return members.changed(type, data);
  if (type === "gap") {
    const why = GAPS[JSON.parse(data).reason];
    return show({ kind: "gap", text: `Messages may be missing here${why ? `: ${why}` : ""}.` });
  }
  if (type !== "message") return;
  // A message that the channel keeps has a position of its own, which begins with the time of its entry. Any other one
  // leaves the position as it is.
  const at = new Date(isKept && /^\d{12,15}-/.test(position) ? Number(position.split("-")[0]) : Date.now());
  // After a gap comes what the channel still holds, and some of it may be here already.
  if (isKept && !isNew(position)) return;
  receive(isBase64 ? decode(data) : data, at, isKept ? "XADD" : "PUBLISH");
}

function receive(text, at, source) {
  const chat = typeof text === "string" ? parseChat(text) : null;
  if (!chat) return show({ kind: "outside", name: source, text: text.toString(), at });
  const { id } = chat;
  const own = id && sender.echoed(id);
  if (id && !isNew(id)) return;
  show({ kind: own ? "own" : "peer", name: chat.name.trim() || "anonymous", text: chat.text, replaces: own?.row, at });
}

function isNew(name) {
  if (seen.has(name)) return false;
  seen.add(name);
  if (seen.size > 2 * MAX_SHOWN) seen.delete(seen.values().next().value);
  return true;
}

// Of a channel with binary messages: text if it is text, else an object that says how long it is.
function decode(data) {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { toString: () => plural(bytes.length, "byte") };
  }
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
  if (["stopped", "asleep"].includes(receiver.state) || sender.state === "stopped") {
    return setProblem("Not connected: the message was not sent.");
  }
  if (sender.isFull) return setProblem(`${plural(sender.pending.length, "message")} are still waiting.`);
  const id = Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(36)).join("");
  const name = ui.name.value.trim() || "anonymous";
  const frame = JSON.stringify({ name, text, id });
  const size = new TextEncoder().encode(frame).length;
  if (size > maxBytes) {
    return setProblem(`Too long: ${plural(size, "byte")}; the relay accepts ${plural(maxBytes, "byte")} at most.`);
  }
  const message = { id, frame, name, text };
  showPending(message);
  sender.send(message);
  ui.text.value = "";
  setProblem("");
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
ui.text.addEventListener("input", () => {
  setProblem("");
  sender.prepare();
});
ui.name.value = remember();
ui.name.addEventListener("input", () => remember(ui.name.value));

// ---- The page ---------------------------------------------------------------------------------

const retry = () => { if (receiver.state === "waiting") receiver.connect(); };

ui.again.addEventListener("click", () => {
  focusComposer(); // the button hides once connected
  if (receiver.state === "open") sender.retry();
  else if (receiver.state !== "connecting") receiver.connect();
});
window.addEventListener("online", retry);
window.addEventListener("offline", () => {
  if (["open", "connecting"].includes(receiver.state)) receiver.retryLater("This device is offline");
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) retry(); });
// Close on leaving: a page with open connections is not kept in the back/forward cache.
window.addEventListener("pagehide", () => {
  sender.close();
  if (receiver.state !== "stopped") receiver.stop("asleep");
});
window.addEventListener("pageshow", () => { if (receiver.state === "asleep") receiver.connect(); });

if (ui.api) ui.api.textContent = new URL(`.${ui.api.textContent}`, location.href).href;

receiver.connect();
