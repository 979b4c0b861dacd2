/**
 * Traffic without end for lives.ts: node soak_client.mjs ADDRESS PORT SOCKETS. Random datagrams, one under way per socket,
 * each answer compared byte by byte. Every 20 ms a line of JSON: totals, and when the last answer came (ms of the epoch).
 */
import { randomBytes } from 'node:crypto';
import dgram from 'node:dgram';

const [address, port, sockets] = process.argv.slice(2);
const WAIT_MS = 20;
const TELL_MS = 20;
const MOST = 1472;
const total = { sent: 0, same: 0, lost: 0, wrong: 0, lastAnswer: 0 };

function run() {
  const socket = dgram.createSocket('udp4');
  let expected = randomBytes(0);
  let timer;
  const next = () => {
    clearTimeout(timer);
    expected = randomBytes(16 + ((total.sent * 7919) % (MOST - 15)));
    total.sent++;
    socket.send(expected, Number(port), address, () => {});
    timer = setTimeout(() => {
      total.lost++;
      next();
    }, WAIT_MS);
  };
  // A network that is not there is a loss like any other.
  socket.on('error', () => {});
  socket.on('message', m => {
    // 8 bytes tell which datagram it is an answer to; a late one is to a datagram that was given up.
    if (!m.subarray(0, 8).equals(expected.subarray(0, 8))) return;
    if (m.equals(expected)) {
      total.same++;
      total.lastAnswer = performance.timeOrigin + performance.now();
    } else total.wrong++;
    next();
  });
  next();
}

for (let i = 0; i < Number(sockets); i++) run();
setInterval(() => process.stdout.write(`${JSON.stringify(total)}\n`), TELL_MS);
// The reader is gone: nobody is there to go on for.
process.stdout.on('error', () => process.exit());
