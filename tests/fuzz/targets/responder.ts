/**
 * The responder on hostile frames: whatever comes, no trap, no frame lost, and what it sends is a sound frame to who asked.
 */
import { fileURLToPath } from 'node:url';
import { Engine } from '../../../host/engine/engine.js';
import { EtherloomError } from '../../../host/errors.js';
import { modelLink } from '../../../host/nic/index.js';
import { readCapture } from '../../../host/nic/pcap/reader.js';
import { parseIp } from '../../../host/wire/address.js';
import { dissect } from '../../../host/wire/index.js';
import { arp, nd, OURS } from '../../responder/rig.js';
import type { FuzzTarget } from '../../support/fuzz.js';
import { checksum, packet } from '../../support/packets.js';

const REAL = fileURLToPath(new URL('../../fixtures/capture/real-traffic.pcapng', import.meta.url));
const MAX_FRAME = 400;
const ADDRESSES = 3;

const { a, b } = modelLink();
const engine = await Engine.create({
  nics: [a],
  inline: true,
  clock: 'virtual',
  // A lane keeps up to 124 free frames to itself.
  frames: 512,
  mapBytes: 1 << 16,
  pass: 'count',
});
engine.respond(a.name, {
  addresses: ['10.0.0.1/24', { address: 'fd00::1/64', dad: false }, { address: '10.5.0.1/24', vlan: 5 }],
  announce: false,
  unreachable: true,
  errorRate: { perSecond: 1e6, burst: 1000 },
  neighbours: 64,
});
await engine.start();

const us = { dmac: OURS, dst: '10.0.0.1', src: '10.0.0.2' };
const us6 = { dmac: OURS, dst: 'fd00::1', src: 'fd00::2' };

/** To us, with lengths and checksums that hold: what is wrong with it then lies deeper. */
function mend(frame: Uint8Array): void {
  if (frame.length < 14) return;
  const dv = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if ((frame[0] & 1) === 0) frame.set([2, 0, 0, 0, 0, 1]);
  const tagged = dv.getUint16(12) === 0x8100 && frame.length >= 18;
  const at = tagged ? 18 : 14;
  const type = dv.getUint16(at - 2);
  const put = (l4: Uint8Array, where: number, ...before: Uint8Array[]): void => {
    if (l4.length < where + 2) return;
    l4.fill(0, where, where + 2);
    const sum = checksum(...before, l4);
    l4[where] = sum >> 8;
    l4[where + 1] = sum & 255;
  };
  if (type === 0x0806 && frame.length >= at + 28) frame.set(tagged ? [10, 5, 0, 1] : [10, 0, 0, 1], at + 24);
  if (type === 0x0800 && frame.length >= at + 20) {
    const head = Math.min(Math.max(5, frame[at] & 15) * 4, frame.length - at) & ~3;
    frame[at] = 0x40 | (head / 4);
    dv.setUint16(at + 2, frame.length - at);
    frame.set(tagged ? [10, 5, 0, 1] : [10, 0, 0, 1], at + 16);
    put(frame.subarray(at, at + head), 10);
    if (frame[at + 9] === 1) put(frame.subarray(at + head), 2);
  }
  if (type === 0x86dd && frame.length >= at + 40) {
    frame[at] = 0x60 | (frame[at] & 15);
    const length = frame.length - at - 40;
    dv.setUint16(at + 4, length);
    if (frame[at + 24] !== 0xff) frame.set(parseIp('fd00::1'), at + 24);
    const pseudo = Uint8Array.of(0, 0, length >> 8, length & 255, 0, 0, 0, 58);
    if (frame[at + 6] === 58) put(frame.subarray(at + 40), 2, frame.subarray(at + 8, at + 40), pseudo);
  }
}

export const target: FuzzTarget = {
  name: 'responder',
  seeds: () => [
    arp(),
    arp({ vlan: 5, tpa: '10.5.0.1' }),
    arp({ oper: 2, dst: OURS }),
    nd(),
    nd({ src: '::', option: null }),
    nd({ type: 136, target: 'fd00::2', dst: 'fd00::1', flags: 0x60000000 }),
    packet({ protocol: 'icmp', ...us }),
    packet({ protocol: 'icmp', type: 128, ...us6 }),
    packet({ protocol: 'udp', ...us }),
    packet({ protocol: 'udp', ...us6 }),
    packet({ protocol: 'udp', vlans: [5], dmac: OURS, dst: '10.5.0.1', src: '10.5.0.2' }),
    ...[...readCapture(REAL)]
      .filter(p => p.data.length <= MAX_FRAME)
      .slice(0, 20)
      .map(p => p.data),
  ],
  maxBytes: MAX_FRAME,
  dictionary: [
    Uint8Array.of(0x81, 0, 0, 5),
    Uint8Array.of(8, 6, 0, 1, 8, 0, 6, 4),
    Uint8Array.of(10, 0, 0, 1),
    Uint8Array.of(60, 0, 1, 4, 0, 0, 0, 0),
    Uint8Array.of(0x02, 0, 0, 0, 0, 1),
  ],
  repair: mend,
  run: frame => {
    if (!b.send(frame)) throw new Error('the link takes nothing');
    engine.run();
    engine.advance(1_000_000);
    if (engine.crashes.length) throw new Error(`the lane trapped: ${engine.crashes[0].reason}`);
    const { free, total, lost, doubled } = engine.ledger();
    const answers = b.receive().map(p => p.data);
    if (lost || doubled)
      throw new Error(`of ${total} frames ${free} are free, ${lost} lost, ${doubled} doubled`);
    // One answer, and what defends an address that the frame claimed.
    if (answers.length > 1 + ADDRESSES) throw new Error(`${answers.length} answers to one frame`);
    for (const data of answers) {
      const layers = dissect(data);
      if (layers.some(l => l.problem)) throw new Error(`an answer that is ${layers.at(-1)!.problem}`);
      // What an error quotes is as it came; every header above is ours.
      if (layers.slice(0, 3).some(l => l.fields.checksumOk === false))
        throw new Error('an answer with a wrong checksum');
    }
    if (!answers.length) throw new EtherloomError('ERR_RESPONDER_SILENT', 'no answer');
  },
};
