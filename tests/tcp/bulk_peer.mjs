/**
 * The kernel's side of a bulk transfer: accepts one connection on PORT, reads to its end, then sends BYTES back and ends.
 * Prints one line of JSON when it listens and one when it is through: what came, and what went, by sha256.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

const [port, bytes] = process.argv.slice(2).map(Number);
const CHUNK = 1 << 18;

const server = createServer({ allowHalfOpen: true }, async socket => {
  const came = createHash('sha256');
  const went = createHash('sha256');
  let got = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    got += chunk.length;
    came.update(chunk);
  }
  let x = 1;
  for (let sent = 0; sent < bytes; ) {
    const part = Buffer.alloc(Math.min(CHUNK, bytes - sent));
    for (let i = 0; i + 4 <= part.length; i += 4) {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      part.writeUInt32LE(x, i);
    }
    went.update(part);
    sent += part.length;
    if (!socket.write(part)) await once(socket, 'drain');
  }
  socket.end();
  await once(socket, 'close');
  console.log(JSON.stringify({ got, came: came.digest('hex'), went: went.digest('hex') }));
  server.close();
});
server.listen(port, () => console.log(JSON.stringify({ listening: port })));
