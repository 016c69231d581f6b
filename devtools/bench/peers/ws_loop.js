/*
 * node `ws`: `send` to each client of the channel, in a loop.
 *
 *   node ws_loop.js PORT REDIS_PORT PING_SECONDS [publish] [tls=PEM]
 *
 * The payload is kept a Buffer from Redis to the socket, which spares `ws` an encoding of the string per client.
 */
const { readFileSync } = require('node:fs');
const { createServer } = require('node:http');
const https = require('node:https');
const { createClient } = require('redis');
const { WebSocketServer } = require('ws');

const [port, redisPort, ping] = process.argv.slice(2).map(Number);
const options = process.argv.slice(5);
const pem = options.find((word) => word.startsWith('tls='))?.slice(4);
const publishes = options.includes('publish');
const channels = new Map();

const http = pem ? https.createServer({ key: readFileSync(pem), cert: readFileSync(pem) }) : createServer();
const server = new WebSocketServer({ server: http, perMessageDeflate: false });
server.on('connection', (socket, request) => {
  const name = request.url.slice(request.url.lastIndexOf('/') + 1);
  let members = channels.get(name);
  if (!members) channels.set(name, (members = new Set()));
  members.add(socket);
  if (publishes) socket.on('message', (data) => { publisher.publish('wsrelay:' + name, data); });
  socket.on('error', () => {});
  socket.on('close', () => members.delete(socket));
});
if (ping) {
  // the heartbeat of the package's own documentation
  setInterval(() => { for (const socket of server.clients) socket.ping(); }, ping * 1000);
}

const redis = createClient({ url: `redis://127.0.0.1:${redisPort}` });
redis.on('error', (error) => { console.error(error); process.exit(1); });
const publisher = redis.duplicate();
publisher.on('error', (error) => { console.error(error); process.exit(1); });
redis.connect().then(async () => {
  if (publishes) await publisher.connect();
  const asText = { binary: false };
  await redis.pSubscribe('wsrelay:*', (payload, channel) => {
    const members = channels.get(channel.toString().slice(8));
    if (members) for (const socket of members) socket.send(payload, asText);
  }, true);
  http.listen({ port, host: '127.0.0.1', backlog: 4096 });
});
