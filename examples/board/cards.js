// The cards on the page: what is drawn, and what a visitor does to them. Nothing here knows the network.

/** The size of an empty card in board.css, in pixels. */
const CARD = { width: 176, height: 112 };
const STEP = 0.02;
const MAX_TEXT = 200;
const DRAG_MILLISECONDS = 50;

const between = (value) => Math.min(1, Math.max(0, value));

/** Return a hue that is always the same for a text. */
export function hueOf(text) {
  let hash = 2166136261;
  for (const character of text) hash = Math.imul(hash ^ character.codePointAt(0), 16777619);
  return (hash >>> 0) % 360;
}

/** Return the card of a message, or null if it is none: whoever may publish may publish anything. */
function read(message) {
  const { id, x, y, text = "", removed = false } = message ?? {};
  const isCard = typeof id === "string" && /^[\w-]{1,64}$/.test(id) && typeof text === "string";
  if (!isCard || !(removed || (Number.isFinite(x) && Number.isFinite(y)))) return null;
  return { id, x: between(x), y: between(y), text: text.slice(0, MAX_TEXT), removed: Boolean(removed) };
}

export class Cards {
  /**
   * @param board the element that they lie on
   * @param dropped called with a card that the visitor has changed
   * @param dragged called with a card that the visitor moves, some twenty times a second
   */
  constructor(board, { dropped, dragged }) {
    this.board = board;
    this.dropped = dropped;
    this.dragged = dragged;
    this.shown = new Map();
    board.addEventListener("dblclick", (event) => event.target === board && this.add(this.place(event)));
  }

  /** Take all cards off the board. */
  clear() {
    this.shown.clear();
    this.board.replaceChildren();
  }

  /** Put a new card somewhere, and the cursor into it. */
  add({ x = 0.2 + Math.random() * 0.6, y = 0.2 + Math.random() * 0.5 } = {}) {
    const card = { id: crypto.randomUUID?.() ?? Math.random().toString(36).slice(2), x, y, text: "" };
    this.dropped(card);
    this.show(card).querySelector(".text").focus();
  }

  /** Draw a card as a message has it: where the visitor does not hold it, and not over what the visitor writes. */
  show(message) {
    const card = read(message);
    if (!card) return null;
    let element = this.shown.get(card.id);
    if (card.removed) {
      element?.remove();
      this.shown.delete(card.id);
      return null;
    }
    if (!element) {
      element = this.make(card);
      this.shown.set(card.id, element);
    }
    if (!element.classList.contains("held")) this.move(element, card);
    const text = element.querySelector(".text");
    if (text !== document.activeElement) text.textContent = card.text;
    return element;
  }

  move(element, { x, y }) {
    element.style.setProperty("--x", x);
    element.style.setProperty("--y", y);
  }

  make({ id }) {
    const element = document.createElement("article");
    element.className = "card";
    element.tabIndex = 0;
    element.dataset.id = id;
    element.style.setProperty("--hue", hueOf(id));
    const text = document.createElement("div");
    text.className = "text";
    text.contentEditable = "plaintext-only";
    text.role = "textbox";
    text.ariaLabel = "Text of the card";
    const remove = document.createElement("button");
    remove.className = "remove";
    remove.type = "button";
    remove.ariaLabel = "Remove the card";
    remove.textContent = "×";
    element.append(text, remove);
    this.board.append(element);

    const current = () => ({
      id,
      x: Number(element.style.getPropertyValue("--x")),
      y: Number(element.style.getPropertyValue("--y")),
      text: text.textContent.slice(0, MAX_TEXT),
    });
    let written = "";
    text.addEventListener("focus", () => (written = text.textContent));
    text.addEventListener("blur", () => text.textContent !== written && this.dropped(current()));
    remove.addEventListener("click", () => {
      this.dropped({ id, removed: true });
      this.show({ id, removed: true });
    });
    element.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
      const step = event.target === element && steps[event.key];
      if (!step) return;
      event.preventDefault();
      const { x, y } = current();
      this.move(element, { x: between(x + step[0]), y: between(y + step[1]) });
      this.dropped(current());
    });
    element.addEventListener("pointerdown", (event) => {
      if (event.target !== element || event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      element.classList.add("held");
      const card = element.getBoundingClientRect();
      const grip = { x: event.clientX - card.left, y: event.clientY - card.top };
      let told = 0;
      const drag = (moved) => {
        this.move(element, this.place(moved, grip));
        if (moved.timeStamp - told < DRAG_MILLISECONDS) return;
        told = moved.timeStamp;
        this.dragged(current());
      };
      const drop = () => {
        element.classList.remove("held");
        element.removeEventListener("pointermove", drag);
        this.dropped(current());
      };
      element.addEventListener("pointermove", drag);
      element.addEventListener("lostpointercapture", drop, { once: true });
    });
    return element;
  }

  /** Return where a pointer is, as parts of the room that a card has. */
  place({ clientX, clientY }, grip = { x: CARD.width / 2, y: CARD.height / 2 }) {
    const { left, top, width, height } = this.board.getBoundingClientRect();
    return {
      x: between((clientX - grip.x - left) / (width - CARD.width)),
      y: between((clientY - grip.y - top) / (height - CARD.height)),
    };
  }
}
