// The SDK `centrifuge` against a relay: goes through one conversation and reports each step as a line of JSON.
//
//   node centrifuge.mjs ws://127.0.0.1:PORT/connection/websocket
//
// tests/clients/test_centrifuge_js.py reads the lines, and does its part when one of them asks for it. Exit status 0
// means that the conversation is complete.

import { Centrifuge } from "centrifuge";
import WebSocket from "ws";

const DEADLINE_MILLISECONDS = 25_000;

function report(event, details = {}) {
  process.stdout.write(JSON.stringify({ event, ...details }) + "\n");
}

setTimeout(() => {
  report("deadline passed");
  process.exit(1);
}, DEADLINE_MILLISECONDS).unref();

/** Resolve with the context of the next event of this name. */
function next(emitter, name) {
  return new Promise((resolve) => emitter.once(name, resolve));
}

/** Resolve with the code and the message that a promise of the SDK is rejected with. */
async function rejection(promise) {
  try {
    await promise;
  } catch (error) {
    return { code: error.code, message: error.message };
  }
  return { code: 0, message: "not rejected" };
}

/** Subscribe to a channel that does not let this client; resolve with code and reason. */
async function failedSubscribe(client, channel) {
  const subscription = client.newSubscription(channel);
  const unsubscribed = next(subscription, "unsubscribed");
  subscription.subscribe();
  const { code, reason } = await unsubscribed;
  client.removeSubscription(subscription);
  return { channel, code, reason };
}

const client = new Centrifuge(process.argv[2], {
  websocket: WebSocket,
  minReconnectDelay: 20,
  maxReconnectDelay: 250,
});
client.on("error", ({ error }) => report("error", { code: error.code, message: error.message }));

const news = client.newSubscription("news");
const room = client.newSubscription("room");
for (const subscription of [news, room]) {
  subscription.on("publication", ({ channel, data }) => report("publication", { channel, data }));
}

const subscribed = Promise.all([next(news, "subscribed"), next(room, "subscribed")]);
const connected = next(client, "connected");
news.subscribe();
room.subscribe();
client.connect();
const { transport } = await connected;
report("connected", { transport });
const [first, second] = await subscribed;
report("subscribed", { channels: [first.channel, second.channel] });

// The test publishes to "room" as a raw client.
await next(room, "publication");
const echo = next(room, "publication");
await room.publish({ text: "from the SDK", number: 1 });
report("published");
await echo;

report("publish rejected", await rejection(client.publish("user:42", { text: "not permitted" })));
report("subscribe rejected", await failedSubscribe(client, "user:42"));
report("subscribe rejected", await failedSubscribe(client, "unknown"));
// The SDK keeps a second subscription to a channel from being made; without it the relay does.
report("subscribed twice", await rejection(client._callPromise({ subscribe: { channel: "room" } }, (reply) => reply)));
report("history rejected", await rejection(room.history({ limit: 1 })));

// The test publishes to "room", which is not received any more, and then to "news".
const unsubscribed = next(room, "unsubscribed");
const afterwards = next(news, "publication");
room.unsubscribe();
const { code: unsubscribeCode } = await unsubscribed;
// Commands are carried out in order: the relay has unsubscribed when this one is answered.
await news.publish("marker");
report("unsubscribed", { code: unsubscribeCode });
await afterwards;
await next(news, "publication");

const again = next(room, "subscribed");
room.subscribe();
await again;

// The test stops the relay, and starts another one on the same port.
const lost = next(client, "connecting");
const back = next(client, "connected");
const subscribedAgain = Promise.all([next(news, "subscribed"), next(room, "subscribed")]);
report("ready for a restart");
const { code, reason } = await lost;
report("disconnected", { code, reason });
await back;
await subscribedAgain;
report("reconnected");

// The test publishes to both channels.
await Promise.all([next(news, "publication"), next(room, "publication")]);
const disconnected = next(client, "disconnected");
client.disconnect();
report("disconnected for good", { code: (await disconnected).code });
