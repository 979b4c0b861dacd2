/** One end of the kernel's peer: calls framed by a length over one connection of Node's `net`, in a process of its own. */
import net from 'node:net';

const order = JSON.parse(process.argv[2]);
const PORT = 700;
const HEAD = 8;

/** Hands over each frame: number of the call, and its bytes. */
function frames(socket, each) {
  let parts = [];
  let have = 0;
  let want = HEAD;
  socket.on('data', chunk => {
    parts.push(chunk);
    have += chunk.length;
    if (have < want) return;
    let all = parts.length === 1 ? parts[0] : Buffer.concat(parts);
    for (;;) {
      want = all.length < HEAD ? HEAD : HEAD + all.readUInt32LE(0);
      if (all.length < want || all.length < HEAD) break;
      each(all.readUInt32LE(4), all.subarray(HEAD, want));
      all = all.subarray(want);
    }
    parts = all.length ? [all] : [];
    have = all.length;
  });
}

/** @param body its bytes are written as they are, behind the head */
function say(socket, call, body) {
  const head = Buffer.allocUnsafe(HEAD);
  head.writeUInt32LE(body.length, 0);
  head.writeUInt32LE(call, 4);
  socket.cork();
  socket.write(head);
  socket.write(body);
  process.nextTick(() => socket.uncork());
}

if (!order.call)
  net
    .createServer({ noDelay: true }, socket => {
      socket.on('error', () => socket.destroy());
      frames(socket, (call, body) => say(socket, call, body));
    })
    .listen(PORT, order.address, () => process.send('ready'));
else {
  const { address, inFlight, bytes, rounds, ms } = order.call;
  const socket = net.connect({ host: address, port: PORT, noDelay: true });
  const body = Buffer.alloc(bytes, 7);
  const began = new Float64Array(inFlight);
  let times = [];
  const ask = tag => {
    began[tag] = performance.now();
    say(socket, tag, body);
  };
  frames(socket, tag => {
    times.push((performance.now() - began[tag]) * 1000);
    ask(tag);
  });
  await new Promise(done => socket.once('connect', done));
  for (let tag = 0; tag < inFlight; tag++) ask(tag);
  // Nobody sleeps: who polls is compared with who is awake.
  const awake = () => setImmediate(awake);
  awake();
  const taken = [];
  for (let round = 0; round <= rounds; round++) {
    times = [];
    const from = performance.now();
    await new Promise(next => setTimeout(next, ms));
    const sorted = times.sort((a, b) => a - b);
    const at = q => sorted[Math.floor(q * (sorted.length - 1))];
    const callsPerS = (sorted.length * 1000) / (performance.now() - from);
    if (round > 0) taken.push({ callsPerS, p50Us: at(0.5), p99Us: at(0.99) });
  }
  process.send(taken);
}
