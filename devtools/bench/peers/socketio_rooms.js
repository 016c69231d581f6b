/*
 * Socket.IO, websocket transport only: `io.to(room).emit`, a room per channel.
 *
 *   node socketio_rooms.js PORT REDIS_PORT PING_SECONDS
 */
const { createServer } = require('node:http');
const { createClient } = require('redis');
const { Server } = require('socket.io');

const [port, redisPort, ping] = process.argv.slice(2).map(Number);

const http = createServer();
const io = new Server(http, {
  transports: ['websocket'],
  serveClient: false,
  perMessageDeflate: false,
  pingInterval: ping ? ping * 1000 : 600000,
});
io.on('connection', (socket) => { socket.join(socket.handshake.query.channel); });

const redis = createClient({ url: `redis://127.0.0.1:${redisPort}` });
redis.on('error', (error) => { console.error(error); process.exit(1); });
redis.connect().then(async () => {
  await redis.pSubscribe('wsrelay:*', (payload, channel) => { io.to(channel.slice(8)).emit('m', payload); });
  http.listen({ port, host: '127.0.0.1', backlog: 1024 });
});
