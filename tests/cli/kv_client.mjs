/**
 * A client of memcached's binary protocol that knows nothing of the engine: `node kv_client.mjs HOST PORT`. Sets, gets and
 * deletes, some in one write; prints what was answered as JSON.
 */
import { once } from 'node:events';
import { connect } from 'node:net';

const [host, port] = process.argv.slice(2);
const GET = 0;
const SET = 1;
const DELETE = 4;
const VERSION = 11;

function request(opcode, opaque, key = '', value = '', extras = 0) {
  const head = Buffer.alloc(24 + extras);
  const body = Buffer.concat([Buffer.from(key), Buffer.from(value)]);
  head.writeUInt8(0x80, 0);
  head.writeUInt8(opcode, 1);
  head.writeUInt16BE(Buffer.byteLength(key), 2);
  head.writeUInt8(extras, 4);
  head.writeUInt32BE(extras + body.length, 8);
  head.writeUInt32BE(opaque, 12);
  return Buffer.concat([head, body]);
}

const socket = connect({ host, port: Number(port) });
await once(socket, 'connect');
let got = Buffer.alloc(0);
socket.on('data', data => {
  got = Buffer.concat([got, data]);
});

/** The next answer: its status, number and value. */
async function answer() {
  for (;;) {
    const length = got.length >= 24 ? 24 + got.readUInt32BE(8) : Number.POSITIVE_INFINITY;
    if (got.length >= length) {
      const [extras, key] = [got.readUInt8(4), got.readUInt16BE(2)];
      const one = { status: got.readUInt16BE(6), opaque: got.readUInt32BE(12) };
      const value = got.toString('latin1', 24 + extras + key, length);
      got = got.subarray(length);
      return { ...one, value };
    }
    await once(socket, 'data');
  }
}

const large = 'v'.repeat(40_000);
const asked = [
  request(SET, 1, 'apple', 'red', 8),
  request(SET, 2, 'long', large, 8),
  request(GET, 3, 'apple'),
  request(GET, 4, 'pear'),
  request(GET, 5, 'long'),
  request(DELETE, 6, 'apple'),
  request(GET, 7, 'apple'),
  request(VERSION, 8),
];
// One by one, then all of them at once.
const answers = [];
for (const one of asked) {
  socket.write(one);
  answers.push(await answer());
}
socket.write(Buffer.concat(asked));
for (const _ of asked) answers.push(await answer());
socket.end();
const shown = answers.map(a => ({ ...a, value: a.value === large ? 'large' : a.value }));
console.log(JSON.stringify(shown));
