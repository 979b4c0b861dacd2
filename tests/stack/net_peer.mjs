// Node's own `net` as the peer, run inside a namespace. One JSON argument:
//   { "serve": PORT }                                  an echo, says "ready" and goes on until it is killed
//   { "connect": [HOST, PORT], "bytes": N, "many": M }  M connections at a time that send N bytes each and want them back
// and one line of JSON as the answer of a client: { same, errors }.
//   { "udp": [HOST, PORT] }                             a datagram from a connected socket; what it is refused with
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

const asked = JSON.parse(process.argv[2]);

if (asked.serve) {
  const server = createServer({ allowHalfOpen: true }, socket => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.listen(asked.serve, '::', () => console.log('ready'));
} else if (asked.udp) {
  const [host, port] = asked.udp;
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const say = error => {
    console.log(JSON.stringify({ same: 0, errors: [error] }));
    process.exit(0);
  };
  socket.on('error', e => say(e.code));
  socket.connect(port, host, () => socket.send('x'));
  setTimeout(() => say('nothing'), 5000);
} else {
  const {
    connect: [host, port],
    bytes,
    many = 1,
  } = asked;
  const data = Buffer.alloc(bytes);
  for (let i = 0, x = 1; i < bytes; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    data[i] = x >>> 24;
  }
  const sha = b => createHash('sha256').update(b).digest('hex');
  const want = sha(data);
  const one = () =>
    new Promise(done => {
      const socket = connect({ host, port, allowHalfOpen: true });
      const got = [];
      socket.on('connect', () => socket.end(data));
      socket.on('data', d => got.push(d));
      socket.on('end', () => done(sha(Buffer.concat(got)) === want ? 'same' : 'other'));
      socket.on('error', e => done(e.code));
    });
  const results = await Promise.all(Array.from({ length: many }, one));
  console.log(
    JSON.stringify({
      same: results.filter(r => r === 'same').length,
      errors: results.filter(r => r !== 'same'),
    }),
  );
  process.exit(0);
}
