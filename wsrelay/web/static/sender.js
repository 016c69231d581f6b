// What the visitor says, by a WebSocket with the raw dialect.
//
//   closed --> connecting --> open --> closed     nobody has written for a while, or the relay restarts
//                  |           |-----> waiting    there is something to send: retry after a growing, random delay
//                  +-----------+-----> stopped    the relay rejected it: only the button retries
//
// It opens when the visitor begins to write. With subscribe=false nothing is received here: the event stream brings
// each message once, and a visitor is one member of the channel and not two.
//
// A message is sent again until its echo has come by the stream. Pages show what comes twice once, by its id. Nothing is
// sent while there is no stream that would bring the echo.

import { address, askWhy, backOff } from "./page.js";

const MAX_PENDING = 20;
const MAX_TRIES = 5; // a message that ends every connection must not end them for ever
const CONNECT_MS = 10_000;
const ECHO_MS = 10_000; // every message comes back, so silence after sending means a dead connection
const IDLE_MS = 60_000;
const STEADY_MS = 5_000;
const SETTLE_MS = 300; // what a stream catches up on comes first, and may have an echo in it

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

const PAGE = address("ws/chat"); // for a plain request
const SOCKET = new URL(PAGE);
SOCKET.protocol = location.protocol === "https:" ? "wss:" : "ws:";
SOCKET.searchParams.set("subscribe", "false");

export class Sender {
  state = "closed";
  why = "";
  pending = [];
  #listener;
  #socket = null;
  #asking = null;
  #timer = 0; // belongs to the state
  #steadyTimer = 0;
  #echoTimer = 0;
  #settleTimer = 0;
  #failures = 0;
  #isReceiving = false; // there is a stream
  #mayTransmit = false; // and it has caught up

  // The listener has changed(), labelled(message, text), unsent(message), and silent().
  constructor(listener) {
    this.#listener = listener;
  }

  get isFull() { return this.pending.length >= MAX_PENDING; }

  // Be ready: the visitor writes.
  prepare() {
    if (this.state === "closed" && this.#isReceiving) this.#connect();
    if (this.state === "open") this.#closeWhenIdle();
  }

  send(message) {
    Object.assign(message, { tries: 0, isSent: false });
    this.pending.push(message);
    this.#listener.labelled(message, "not sent yet");
    if (this.#mayTransmit) this.#flush();
  }

  // Take that a message has come by the stream; returns the own one that it is, if it is one.
  echoed(id) {
    const own = this.pending.find((message) => message.id === id);
    if (own) this.pending = this.pending.filter((message) => message !== own);
    this.#watchEcho();
    return own;
  }

  // Echoes can come; first those that were missed.
  resume() {
    clearTimeout(this.#settleTimer);
    this.#isReceiving = true;
    const transmit = () => {
      this.#mayTransmit = true;
      if (this.state !== "stopped") this.#flush();
    };
    if (this.pending.some(({ tries }) => tries)) this.#settleTimer = setTimeout(transmit, SETTLE_MS);
    else transmit();
  }

  // Echoes cannot come. What has not been echoed is sent again.
  pause() {
    clearTimeout(this.#settleTimer);
    this.#isReceiving = this.#mayTransmit = false;
    this.#unsend();
  }

  retry() {
    if (this.state !== "connecting" && this.state !== "open") this.#connect();
  }

  close() {
    this.#hangUp();
    this.#enter("closed");
  }

  // Send no more of what waits.
  giveUp() {
    this.pending.forEach((message) => this.#drop(message));
    this.pending = [];
  }

  #flush() {
    if (!this.pending.length) return;
    if (this.state === "closed") this.#connect();
    if (this.state !== "open") return;
    for (const message of this.pending.filter(({ isSent }) => !isSent)) {
      this.#socket.send(message.frame);
      message.isSent = true;
      message.tries += 1;
      this.#listener.labelled(message, "sending");
    }
    this.#watchEcho();
    this.#closeWhenIdle();
  }

  #watchEcho() {
    clearTimeout(this.#echoTimer);
    if (this.#mayTransmit && this.pending.some(({ isSent }) => isSent)) {
      this.#echoTimer = setTimeout(() => {
        this.close();
        this.#listener.silent();
      }, ECHO_MS);
    }
  }

  #connect() {
    this.#hangUp();
    const socket = this.#socket = new WebSocket(SOCKET);
    socket.onopen = () => this.#opened();
    socket.onclose = (event) => this.#closed(event);
    this.#enter("connecting", this.why);
    this.#timer = setTimeout(() => this.#retryLater("The relay does not respond"), CONNECT_MS);
  }

  #opened() {
    this.#enter("open");
    this.#steadyTimer = setTimeout(() => { this.#failures = 0; }, STEADY_MS);
    this.#closeWhenIdle();
    if (this.#mayTransmit) this.#flush();
  }

  #closeWhenIdle() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.pending.length ? this.#closeWhenIdle() : this.close()), IDLE_MS);
  }

  #closed({ code, reason }) {
    if (this.state === "connecting") return void this.#ask();
    const isRejected = [1003, 1007, 1008, 1009].includes(code) || (code >= 4500 && code <= 4999);
    const text = reason || REASONS[code] || "The relay closed the connection";
    const why = code === 1006 ? text : `${text} (code ${code})`;
    if (isRejected) this.#stop(why);
    else if (this.pending.length) this.#retryLater(why);
    else this.close(); // nothing is lost by it: it opens again when there is something to send
  }

  async #ask() {
    this.#hangUp();
    const { signal } = this.#asking = new AbortController();
    const { isFinal, why } = await askWhy(PAGE, signal);
    if (signal.aborted) return;
    if (isFinal) return this.#stop(why);
    if (!this.pending.length) return this.close();
    this.#retryLater(why || "The relay answers, but the handshake did not succeed. If it never does, a proxy in "
      + "between does not pass the Upgrade header on");
  }

  #stop(why) {
    this.#hangUp();
    this.giveUp();
    this.#enter("stopped", why);
  }

  #retryLater(why) {
    this.#hangUp();
    this.#enter("waiting", why);
    this.#timer = setTimeout(() => this.#connect(), backOff(this.#failures));
    this.#failures += 1;
  }

  #hangUp() {
    clearTimeout(this.#timer);
    clearTimeout(this.#steadyTimer);
    this.#asking?.abort();
    this.#unsend();
    if (!this.#socket) return;
    // Events of the old socket must not affect its successor.
    this.#socket.onopen = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #unsend() {
    clearTimeout(this.#echoTimer);
    for (const message of this.pending) {
      message.isSent = false;
      if (message.tries >= MAX_TRIES) this.#drop(message);
      else this.#listener.labelled(message, "not sent yet");
    }
    this.pending = this.pending.filter(({ tries }) => tries < MAX_TRIES);
  }

  #drop(message) {
    this.#listener.labelled(message, message.tries ? "may not have arrived" : "not sent");
    this.#listener.unsent(message);
  }

  #enter(state, why = "") {
    Object.assign(this, { state, why });
    this.#listener.changed();
  }
}
