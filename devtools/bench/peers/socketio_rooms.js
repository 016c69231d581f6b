/*
 * Socket.IO, websocket transport only: `io.to(room).emit`, a room per channel.
 *
 *   node socketio_rooms.js PORT REDIS_PORT PING_SECONDS [publish]
 */
const { createServer } = require('node:http');
const { createClient } = require('redis');
const { Server } = require('socket.io');

const [port, redisPort, ping] = process.argv.slice(2).map(Number);

const publishes = process.argv.slice(5).includes('publish');

const http = createServer();
const io = new Server(http, {
  transports: ['websocket'],
  serveClient: false,
  perMessageDeflate: false,
  pingInterval: ping ? ping * 1000 : 600000,
});
io.on('connection', (socket) => {
  const name = socket.handshake.query.channel;
  socket.join(name);
  if (publishes) socket.on('m', (payload) => { publisher.publish('wsrelay:' + name, payload); });
});

const redis = createClient({ url: `redis://127.0.0.1:${redisPort}` });
redis.on('error', (error) => { console.error(error); process.exit(1); });
const publisher = redis.duplicate();
publisher.on('error', (error) => { console.error(error); process.exit(1); });
redis.connect().then(async () => {
  if (publishes) await publisher.connect();
  await redis.pSubscribe('wsrelay:*', (payload, channel) => { io.to(channel.slice(8)).emit('m', payload); });
  http.listen({ port, host: '127.0.0.1', backlog: 4096 });
});
