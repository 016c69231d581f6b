// Commands come by `perform`, events and results go by `take`. The page's address names the transport.

import { makeDriver } from "./driver.mjs";

const transport = new URL(location).searchParams.get("transport");
let lines = [];

/** Return where the SDK connects to by the transport, on the relay of a WebSocket's address. */
function endpoint(url) {
  const { host } = new URL(url);
  const endpoints = { websocket: url, sse: `http://${host}/connection/sse`, http_stream: `http://${host}/connection/http_stream` };
  return [{ transport, endpoint: endpoints[transport] }];
}

const perform = makeDriver({
  Centrifuge: globalThis.Centrifuge,
  report: (line) => lines.push(line),
  endpoint,
  options: (url) => ({ emulationEndpoint: `http://${new URL(url).host}/emulation` }),
});
globalThis.perform = (command) => void perform(command);
globalThis.take = () => {
  const taken = lines;
  lines = [];
  return taken;
};
