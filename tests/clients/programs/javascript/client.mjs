// The SDK `centrifuge` in Node: takes a command from each line of standard input, and prints events and results as
// lines of JSON. See tests/clients/sdk.py.
//
//   node client.mjs [http_stream] json|protobuf

import { createInterface } from "node:readline";
import WebSocket from "ws";
import { Centrifuge as ForJSON } from "centrifuge";
import { Centrifuge as ForProtobuf } from "centrifuge/build/protobuf";
import { makeDriver } from "./driver.mjs";

const [encoding, transport] = process.argv.slice(2).reverse();
const binary = encoding === "protobuf";

/** Return an address for HTTP at the host of a WebSocket. */
const httpURL = (url, path) => `http://${new URL(url).host}${path}`;

const perform = makeDriver({
  Centrifuge: binary ? ForProtobuf : ForJSON,
  binary,
  // Node before version 22 has none of its own.
  options: (url) => ({ websocket: WebSocket, emulationEndpoint: httpURL(url, "/emulation") }),
  endpoint: (url) => (transport ? [{ transport, endpoint: httpURL(url, `/connection/${transport}`) }] : url),
  report: (line) => process.stdout.write(JSON.stringify(line) + "\n"),
});
createInterface({ input: process.stdin })
  .on("line", (line) => perform(JSON.parse(line)))
  .on("close", () => process.exit());
