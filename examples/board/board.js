// The board over the network: what is dropped is kept on one channel, and what is on its way passes by on another.

import { Cards, hueOf } from "./cards.js";

const PAGE = 100;

const parameters = new URLSearchParams(location.search);
const relay = parameters.get("relay") ?? `ws://${location.hostname}:8080/connection/websocket`;
const status = document.querySelector("#status");
const client = new Centrifuge(relay);
const board = client.newSubscription("board", { recoverable: true, joinLeave: true });
const drag = client.newSubscription("board-drag");
const cards = new Cards(document.querySelector("#board"), {
  dropped: (card) => board.publish(card).catch(show),
  dragged: (card) => drag.publish(card).catch(() => {}),
});

function show({ message }) {
  status.textContent = message;
}

for (const state of ["connecting", "connected", "disconnected"]) {
  client.on(state, ({ reason }) => {
    status.dataset.state = state;
    status.textContent = state === "disconnected" ? `disconnected: ${reason}` : state;
  });
}

// The SDK fetches what was missed by itself. Where it could not, and at the first time, all that is kept is read.
board.on("subscribed", ({ wasRecovering, recovered }) => {
  if (!(wasRecovering && recovered)) load().catch(show);
  loadVisitors().catch(show);
});
board.on("publication", draw);
drag.on("publication", ({ data }) => cards.shown.has(data?.id) && cards.show(data));

// What is read and what arrives meanwhile come in any order: of each card the newest entry counts.
const newest = new Map();

function draw({ data, offset = 0 }) {
  if (offset < (newest.get(data?.id) ?? 0)) return;
  newest.set(data?.id, offset);
  cards.show(data);
}

/** Draw what the channel keeps, from the oldest entry on. */
async function load() {
  cards.clear();
  newest.clear();
  let since;
  for (;;) {
    const { publications, epoch } = await board.history({ limit: PAGE, since });
    publications.forEach(draw);
    if (publications.length < PAGE) return;
    since = { offset: publications.at(-1).offset, epoch };
  }
}

const visitors = new Set();
const list = document.querySelector("#visitors");

function drawVisitors() {
  list.replaceChildren(
    ...[...visitors].map((id) => {
      const dot = document.createElement("li");
      dot.style.setProperty("--hue", hueOf(id));
      dot.className = id === me ? "me" : "";
      dot.title = id === me ? "you" : "a visitor";
      return dot;
    }),
  );
}

let me = "";
client.on("connected", ({ client: id }) => (me = id));
board.on("join", ({ info }) => (visitors.add(info.client), drawVisitors()));
board.on("leave", ({ info }) => (visitors.delete(info.client), drawVisitors()));

async function loadVisitors() {
  const { clients } = await board.presence();
  visitors.clear();
  for (const id of Object.keys(clients)) visitors.add(id);
  drawVisitors();
}

document.querySelector("#add").addEventListener("click", () => cards.add());
board.subscribe();
drag.subscribe();
client.connect();
