/**
 * A UDP client of the kernel: sends random datagrams and compares what comes back, byte by byte. Prints one line of JSON.
 *   node udp_client.mjs '{"to": "10.0.0.1", "port": 7, "count": 1000, "sizes": [0, 1472], "sockets": 4, "window": 16}'
 * With `forMs` it goes on for so long, and tells when answers came.
 */
import { randomBytes } from 'node:crypto';
import dgram from 'node:dgram';

const o = {
  count: 1000,
  sizes: [8, 1472],
  sockets: 1,
  window: 8,
  waitMs: 300,
  forMs: 0,
  ...JSON.parse(process.argv[2]),
};
const now = () => performance.now();
const result = { sent: 0, same: 0, lost: 0, wrong: 0, rttUs: [], longestGapMs: 0 };
const until = o.forMs ? now() + o.forMs : Number.POSITIVE_INFINITY;
const more = () => (o.forMs ? now() < until : result.sent < o.count);
let lastAnswer = now();

/** One socket: a datagram under way at a time. */
function run(size) {
  return new Promise(done => {
    const socket = dgram.createSocket(o.to.includes(':') ? 'udp6' : 'udp4');
    let expected;
    let sentAt = 0;
    let timer;
    const next = () => {
      clearTimeout(timer);
      if (!more()) {
        socket.close(done);
        return;
      }
      expected = randomBytes(size(result.sent));
      result.sent++;
      sentAt = now();
      socket.send(expected, o.port, o.to, () => {});
      timer = setTimeout(() => {
        result.lost++;
        next();
      }, o.waitMs);
    };
    // A neighbour that is not there yet, or an interface that is gone, is a loss like any other.
    socket.on('error', () => {});
    socket.on('message', m => {
      // An answer to what was given up already.
      if (m.length === expected.length && !m.equals(expected) && m.length > 4) {
        result.wrong++;
        return;
      }
      if (!m.equals(expected)) return;
      result.same++;
      result.rttUs.push((now() - sentAt) * 1000);
      result.longestGapMs = Math.max(result.longestGapMs, now() - lastAnswer);
      lastAnswer = now();
      next();
    });
    next();
  });
}

const [least, most] = o.sizes;
const size = i => least + ((i * 7919) % (most - least + 1));
await Promise.all(Array.from({ length: o.sockets * o.window }, () => run(size)));
result.rttUs.sort((a, b) => a - b);
const at = p => Math.round(result.rttUs[Math.floor(result.rttUs.length * p)] ?? 0);
console.log(JSON.stringify({ ...result, rttUs: { p50: at(0.5), p99: at(0.99) } }));
