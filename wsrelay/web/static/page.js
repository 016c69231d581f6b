// What the page is made of, and what its relay says about itself in its HTML.

export const ui = Object.fromEntries([...document.querySelectorAll("[id]")].map((found) => [found.id, found]));

const { readOnly, maxMessageBytes, history, base64 } = document.body.dataset;

export const isReadOnly = readOnly === "true";
export const maxBytes = Number(maxMessageBytes);
export const historySize = Number(history); // the messages that a visitor gets first; 0 if the channel keeps none
export const isBase64 = base64 === "true"; // event streams carry text only: binary channels are encoded

export const plural = (count, noun) => `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;

// Below the page's own address, which a proxy may have put into a folder.
export function address(path) {
  const url = new URL(path, location.href);
  url.search = url.hash = "";
  return url;
}

// Full jitter: after a restart the clients must not all reconnect at the same time.
const BACKOFF_FIRST_MS = 500;
const BACKOFF_CAP_MS = 20_000;
export const backOff = (failures) => Math.random() * Math.min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS * 2 ** failures);

// A browser hides the response to a rejected handshake and to a rejected stream. The relay answers a plain request to the
// same address with the same sentence. The origin goes in Referer, because browsers send no Origin with a request to the
// page's own host. Returns if the answer is final, and why it is no; "" if the relay would say yes.
export async function askWhy(url, signal) {
  try {
    const response = await fetch(url, { cache: "no-store", referrerPolicy: "origin", signal });
    const { status } = response;
    const isText = response.headers.get("content-type")?.startsWith("text/plain");
    const text = isText ? (await response.text()).trim() : "";
    if (!isText) response.body?.cancel(); // a stream, perhaps
    if (status === 426 || (status === 200 && !isText)) return { isFinal: false, why: "" };
    const isFinal = status >= 400 && status < 500 && ![408, 425, 429].includes(status);
    // Longer texts are those of other servers.
    const why = status >= 400 && text && text.length < 500 ? `${text} (HTTP ${status})`
      : `The server does not answer as the relay does: HTTP ${status}`;
    return { isFinal, why };
  } catch {
    return { isFinal: false, why: navigator.onLine ? "The relay cannot be reached" : "This device is offline" };
  }
}
