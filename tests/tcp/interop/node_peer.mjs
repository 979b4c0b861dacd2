/**
 * Node's own `net` as the peer: node node_peer.mjs '{"role":"client","host":"10.0.0.1","port":7,"file":"body","ends":"sent"}'
 * Sends the file, hashes what it gets, closes as it was told, and prints one line of JSON in the end.
 *   ends: 'sent' when its own is out · 'received' after the other's end · 'reset' RST after `after` bytes · 'close' unread
 *   ('reset' and 'close' when the other end has sent `after` bytes)
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import net from 'node:net';

const o = { ends: 'sent', after: 0, pauseMs: 0, ...JSON.parse(process.argv[2]) };
const hash = createHash('sha256');
const told = { received: 0, sha: '', ended: false, error: undefined, ms: 0 };

function serve(socket) {
  const began = performance.now();
  socket.setNoDelay(o.noDelay ?? false);
  socket.on('data', data => {
    told.received += data.length;
    hash.update(data);
    if (o.ends === 'reset' && told.received >= o.after) socket.resetAndDestroy();
    if (o.ends === 'close' && told.received >= o.after) socket.destroy();
  });
  if (o.pauseMs) {
    socket.pause();
    setTimeout(() => socket.resume(), o.pauseMs);
  }
  let sent = false;
  const end = () => {
    if (sent && (o.ends === 'sent' || (o.ends === 'received' && told.ended))) socket.end();
  };
  socket.on('end', () => {
    told.ended = true;
    end();
  });
  socket.on('error', error => {
    told.error = error.code;
  });
  socket.on('close', () => {
    told.sha = hash.digest('hex');
    told.ms = performance.now() - began;
    process.stdout.write(`${JSON.stringify(told)}\n`, () => process.exit());
  });
  const done = () => {
    sent = true;
    end();
  };
  if (!o.file) done();
  else {
    const body = createReadStream(o.file, { highWaterMark: 1 << 18 });
    body.on('end', done);
    socket.on('close', () => body.destroy());
    body.pipe(socket, { end: false });
  }
}

if (o.role === 'server') {
  const server = net.createServer({ allowHalfOpen: true }, socket => {
    server.close();
    serve(socket);
  });
  server.listen(o.port, o.host);
} else {
  const socket = net.connect({ host: o.host, port: o.port, allowHalfOpen: true });
  const refused = error => console.log(JSON.stringify({ ...told, error: error.code }));
  socket.on('error', refused);
  socket.on('connect', () => {
    socket.off('error', refused);
    serve(socket);
  });
}
