/** Answers of the kernel to questions about routes and neighbours: read within their bounds, and nothing made up. */
import { EtherloomError } from '../../../host/errors.js';
import { neighbourIn, question, readAnswer, routeIn } from '../../../host/forward/netlink_message.js';
import { parseIp } from '../../../host/wire/address.js';
import type { FuzzTarget } from '../../support/fuzz.js';

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_MULTI = 2;
const RTM_NEWROUTE = 24;
const RTM_NEWNEIGH = 28;
const IFINDEX = 7;
const WANTED = parseIp('10.0.0.1');

/** A message with several attributes. */
function message(type: number, flags: number, attributes: [number, Uint8Array][], state = 2): Uint8Array {
  const parts = attributes.map(([kind, bytes]) => {
    const out = new Uint8Array((4 + bytes.length + 3) & ~3);
    new DataView(out.buffer).setUint16(0, 4 + bytes.length, true);
    new DataView(out.buffer).setUint16(2, kind, true);
    out.set(bytes, 4);
    return out;
  });
  const head = question(type, flags, 2, body => {
    body.setInt32(4, IFINDEX, true);
    body.setUint16(8, state, true);
  });
  const whole = Uint8Array.from(Buffer.concat([head, ...parts]));
  new DataView(whole.buffer).setUint32(0, whole.length, true);
  return whole;
}

const u32 = (n: number): Uint8Array => Uint8Array.of(n, n >> 8, n >> 16, n >> 24);
const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);
const route = message(RTM_NEWROUTE, 0, [
  [1, WANTED],
  [4, u32(IFINDEX)],
  [5, parseIp('10.0.0.254')],
]);
const via = message(RTM_NEWROUTE, 0, [
  [4, u32(3)],
  [18, Uint8Array.from([10, 0, ...parseIp('fe80::1')])],
]);
const neighbours = [1, 2, 3].map(n =>
  message(
    RTM_NEWNEIGH,
    NLM_F_MULTI,
    [
      [1, Uint8Array.of(10, 0, 0, n)],
      [2, mac],
    ],
    n,
  ),
);
const done = message(NLMSG_DONE, NLM_F_MULTI, []).slice(0, 20);
new DataView(done.buffer).setUint32(0, 20, true);

export const target: FuzzTarget = {
  name: 'netlink',
  seeds: () => [
    route,
    via,
    Uint8Array.from(Buffer.concat(neighbours)),
    Uint8Array.from(Buffer.concat([...neighbours, done])),
    message(NLMSG_ERROR, 0, [[0, u32(0)]]),
    Uint8Array.from(Buffer.concat([route, neighbours[0]])),
  ],
  maxBytes: 4096,
  // Lengths of messages are said again, so that their attributes are met.
  repair: input => {
    const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
    if (input.length >= 16) view.setUint32(0, input.length, true);
  },
  run: input => {
    // Nothing behind the answer may be read: it lies at the very end of its memory.
    const bytes = input.slice();
    const { messages, errno } = readAnswer(bytes);
    let within = 0;
    for (const m of messages) {
      within += 16 + m.body.byteLength;
      for (const a of m.attributes.values())
        if (a.byteOffset + a.length > bytes.length) throw new Error('an attribute beyond the answer');
    }
    if (within > bytes.length + 3) throw new Error('more messages than bytes');
    if (errno) throw new EtherloomError('ERR_NETLINK', `errno ${errno}`);
    const neighbour = neighbourIn(messages, WANTED, IFINDEX);
    if (neighbour && !/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(neighbour.mac))
      throw new Error(`an Ethernet address ${neighbour.mac}`);
    if (messages.some(m => m.type === RTM_NEWROUTE)) {
      const found = routeIn(messages, '10.0.0.1', 'the route');
      parseIp(found.neighbour);
    }
  },
};
