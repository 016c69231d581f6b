// The list of messages. It is bounded: old lines are removed.

import { ui } from "./page.js";

export const MAX_SHOWN = 500;
const FLUSH_MS = 30; // one layout per burst, not one per message

const arrivals = [];
let flushTimer = 0;
let atBottom = true;

const CLOCK = { hour: "2-digit", minute: "2-digit" };
const clock = new Intl.DateTimeFormat([], CLOCK);
const calendar = new Intl.DateTimeFormat([], { ...CLOCK, month: "short", day: "numeric" });

export function show(message) {
  arrivals.push({ at: new Date(), ...message });
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

function toBottom() {
  ui.log.scrollTop = ui.log.scrollHeight;
}

// Only textContent below: messages are never markup.
function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function row({ kind, name = "", text, at }, previous) {
  if (kind === "note" || kind === "gap") return element("li", kind, text);
  const item = element("li", kind, "");
  const by = element("p", "by", "");
  const who = element("span", "who", kind === "own" ? `${name} (you)` : name);
  const isToday = at.toDateString() === new Date().toDateString();
  const time = element("time", "", (isToday ? clock : calendar).format(at));
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

// Own messages, until their echo comes.

export function showPending(message) {
  message.row = row({ kind: "own", name: message.name, text: message.text, at: new Date() });
  message.row.classList.add("pending");
  ui.pending.append(message.row);
  atBottom = true; // show the writer the new message
  toBottom();
}

export function label(message, text) {
  message.row.querySelector("time").textContent = text;
}

export function markUnsent(message) {
  message.row.classList.replace("pending", "unsent");
  ui.messages.append(message.row);
}

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
