// Who is here: a list to begin with, and then the joins and leaves of the stream. Each user is one, and each visitor
// without a name, whom the relay knows by the stream.

import { address, plural, ui } from "./page.js";

const URL_OF_LIST = address("presence/chat");
const STALE_MS = 1_500; // the relay gives an answer to everybody for a second: one that is later has this visitor in it
const AGAIN_MS = 60_000; // a join or leave may be lost
const MAX_KNOWN = 1_000;
const MAX_NAMED = 50;

const here = new Map(); // from who it is to its user
let events = []; // the latest ones, which a list may not have yet
let more = 0; // members whose names were not in the list
let timer = 0;
let reading = null;

const key = ({ client, user }) => (user ? `user ${user}` : `client ${client}`);

// The stream has opened.
export function start() {
  stop();
  events = [];
  timer = setTimeout(read, STALE_MS);
}

export function stop() {
  clearTimeout(timer);
  reading?.abort();
}

// Take a join or a leave.
export function changed(type, data) {
  const event = { type, member: JSON.parse(data), at: performance.now() };
  events.push(event);
  if (events.length > MAX_KNOWN) events.shift();
  apply(event);
  show();
}

function apply({ type, member }) {
  if (type === "leave") here.delete(key(member));
  else if (here.size < MAX_KNOWN) here.set(key(member), member.user);
}

async function read() {
  const { signal } = reading = new AbortController();
  const begun = performance.now();
  let list;
  try {
    const response = await fetch(URL_OF_LIST, { cache: "no-store", referrerPolicy: "origin", signal });
    if (response.ok) list = await response.json();
    else await response.text(); // lets the connection end
    if (response.status === 404) {
      ui.here.hidden = true; // nobody is told: the namespace has no presence
      return;
    }
  } catch { /* the next one will do */ }
  if (signal.aborted) return;
  if (list) {
    here.clear();
    for (const member of list.members) here.set(key(member), member.user);
    more = Math.max(0, list.clients - list.members.length);
    events = events.filter(({ at }) => at > begun - STALE_MS);
    events.forEach(apply);
    ui.here.hidden = false;
    show();
  }
  timer = setTimeout(read, AGAIN_MS * (1 - Math.random() / 5));
}

function show() {
  const users = [...here.values()].filter(Boolean).sort((one, other) => one.localeCompare(other));
  const nameless = here.size - users.length + more;
  ui.count.textContent = `${(here.size + more).toLocaleString()} here`;
  const names = users.slice(0, MAX_NAMED);
  const unnamed = users.length - names.length;
  if (unnamed) names.push(`${plural(unnamed, "other user")}`);
  if (nameless) names.push(`${nameless.toLocaleString()} without a name`);
  ui.members.replaceChildren(...names.map((name) => {
    const item = document.createElement("li");
    item.textContent = name;
    item.dir = "auto";
    return item;
  }));
}
