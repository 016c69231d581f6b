// What others say, by an event stream.
//
//   connecting --> open --> waiting --> open ...
//        |           |         the connection was lost: EventSource comes back by itself, and catches up by itself on
//        |           |         what was said meanwhile, because it sends the id of the last event that it has got
//        +-----------+--> stopped      the relay has ended it, or rejected it: only the button retries
//        +-----------+--> asleep       the page was left: retry when it is shown again
//
// An EventSource gives up for ever on any answer but a stream, such as the error page of a proxy while the relay
// restarts, and waits for ever for a host that is silent. Then another one goes on where it was: that is all the code
// here about coming back.

import { address, askWhy, backOff, historySize } from "./page.js";

const CONNECT_MS = 10_000; // the browser itself may wait minutes for a silent host
const RETURN_MS = 30_000; // longer than the relay asks an EventSource to wait
const STEADY_MS = 5_000; // healthy after this long; sooner, a crash loop would reset the back-off

const STREAM = address("sse/chat");
const SOCKET = address("ws/chat");

export class Receiver {
  state = "";
  why = "";
  due = 0; // of the next attempt, if it is this code that makes it
  #listener;
  #source = null;
  #position = "";
  #failures = 0;
  #timer = 0;
  #asking = null;

  // The listener has changed(), and received(type, data, position).
  constructor(listener) {
    this.#listener = listener;
  }

  connect() {
    this.#close();
    const url = new URL(STREAM);
    // The id of the last event is the position behind it.
    if (this.#position) url.searchParams.set("since", this.#position);
    else if (historySize) url.searchParams.set("history", historySize);
    const source = new EventSource(url);
    source.onerror = () => this.#failed();
    source.onmessage = (event) => this.#take(event);
    source.addEventListener("subscribed", (event) => this.#take(event, () => this.#opened()));
    for (const type of ["gap", "join", "leave"]) source.addEventListener(type, (event) => this.#take(event));
    // The stream ends behind these two, and EventSource would come back for nothing.
    source.addEventListener("close", ({ data }) => this.#ended(data));
    source.addEventListener("credential", ({ data }) => {
      // A page that can get a new ticket would do so here, and connect again. This one has none to get.
      this.#ended(data, ". This page has no way to get a new credential: load it again");
    });
    this.#source = source;
    // The reason stays during the attempt, so that the notice does not flicker and is not read aloud again.
    this.#enter("connecting", this.why);
    this.#timer = setTimeout(() => this.retryLater("The relay does not respond"), CONNECT_MS);
  }

  stop(state, why = "") {
    this.#close();
    this.#enter(state, why);
  }

  retryLater(why) {
    this.#close();
    const delay = backOff(this.#failures);
    this.#failures += 1;
    this.#enter("waiting", why, performance.now() + delay);
    this.#timer = setTimeout(() => this.connect(), delay);
  }

  #opened() {
    this.#enter("open");
    this.#timer = setTimeout(() => { this.#failures = 0; }, STEADY_MS);
  }

  #take(event, then = () => {}) {
    this.#position = event.lastEventId;
    then();
    this.#listener.received(event.type, event.data, event.lastEventId);
  }

  async #failed() {
    const source = this.#source;
    const wasOpen = this.state === "open";
    const isOver = source.readyState === EventSource.CLOSED;
    clearTimeout(this.#timer);
    if (!isOver) {
      this.#enter("waiting", wasOpen ? "The connection was lost" : this.why);
      this.#timer = setTimeout(() => this.connect(), RETURN_MS);
      if (wasOpen) return;
    }
    this.#asking?.abort();
    const { signal } = this.#asking = new AbortController();
    // What a handshake would be told costs the relay nothing. A stream that is rejected for a reason that it does not
    // show before has to be asked for itself.
    let { isFinal, why } = await askWhy(SOCKET, signal);
    if (isOver && !why && !signal.aborted) ({ isFinal, why } = await askWhy(STREAM, signal));
    if (signal.aborted) return;
    if (isOver && isFinal) this.stop("stopped", why);
    else if (isOver) this.retryLater(why || "The connection was lost");
    else if (why) this.#enter("waiting", why);
  }

  #ended(data, advice = "") {
    const { code, reason } = JSON.parse(data);
    this.stop("stopped", `${reason} (code ${code})${advice}`);
  }

  #enter(state, why = "", due = 0) {
    Object.assign(this, { state, why, due });
    if (state === "open") this.#asking?.abort();
    if (state !== "waiting") clearTimeout(this.#timer);
    this.#listener.changed();
  }

  #close() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    if (!this.#source) return;
    this.#source.onerror = null;
    this.#source.close();
    this.#source = null;
  }
}
