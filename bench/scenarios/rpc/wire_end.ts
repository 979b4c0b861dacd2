/** One end of calls over a wire of the kernel, in a process and a namespace of its own: an inline engine on AF_XDP. */
import { Engine } from '../../../host/engine/engine.js';
import { Stack } from '../../../host/net/stack.js';
import { afXdp } from '../../../host/nic/index.js';
import type { RpcEvent } from '../../../host/rpc/event.js';
import { homa } from '../../../host/transports/homa/index.js';
import { type CallFigures, type Load, Times } from './figures.js';

const PORT = 700;

interface Order {
  interface: string;
  address: string;
  carrier: string;
  /** Who calls: where, and what. */
  call?: Load & { address: string; rounds: number; ms: number };
}

const order: Order = JSON.parse(process.argv[2]);
const engine = await Engine.create({
  nics: [afXdp({ interface: order.interface, own: true, queues: 1 })],
  ...{ inline: true, frames: 16_384, streams: { count: 1024, bytes: 128 << 20, apps: 16 } },
});
const stack = await Stack.create({
  engine,
  ports: { [order.interface]: { addresses: [`${order.address}/24`] } },
  messages: homa(),
});
await engine.start();
const { burst } = await stack.rpc({ carrier: order.carrier });
const events: RpcEvent[] = [];
/** What else the process has to do has a turn so often, ms. */
const TURN_MS = 20;
const turn = (): Promise<void> => new Promise(next => setImmediate(next));

if (order.call) process.send!(await calls(order.call));
else {
  await burst.listen({ port: PORT });
  process.send!('ready');
  for (;;) {
    for (const end = performance.now() + TURN_MS; performance.now() < end; )
      for (let k = burst.poll(events) - 1; k >= 0; k--) events[k].reply(events[k].bytes);
    await turn();
  }
}

async function calls({
  address,
  inFlight,
  bytes,
  rounds,
  ms,
}: NonNullable<Order['call']>): Promise<CallFigures[]> {
  const peer = burst.peer(address, PORT);
  const body = new Uint8Array(bytes).fill(7);
  const began = new Float64Array(inFlight);
  const owed: number[] = Array.from({ length: inFlight }, (_, tag) => tag);
  const times = new Times();
  const taken: CallFigures[] = [];
  for (let round = 0; round <= rounds; round++) {
    times.clear();
    const from = performance.now();
    let now = from;
    while (now < from + ms) {
      // Where there is no room it is tried again: a ring may be on its way.
      for (let tag = owed.pop(); tag !== undefined; tag = owed.pop()) {
        began[tag] = performance.now();
        if (burst.begin(peer, body, tag) !== 0) continue;
        owed.push(tag);
        break;
      }
      const n = burst.poll(events);
      now = performance.now();
      for (let i = 0; i < n; i++) {
        const e = events[i];
        if (e.kind !== 'response') throw e.error;
        times.took((now - began[e.tag as number]) * 1000);
        owed.push(e.tag as number);
      }
    }
    await turn();
    // The first warms up.
    if (round > 0) taken.push(times.figures(now - from));
  }
  return taken;
}
