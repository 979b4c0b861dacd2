/**
 * The responder on hostile frames: whatever comes, no trap, no frame lost, and what it sends is a sound frame to who asked.
 */
import { fileURLToPath } from 'node:url';
import { Engine } from '../../../host/engine/engine.js';
import { EtherloomError } from '../../../host/errors.js';
import { modelLink } from '../../../host/nic/index.js';
import { readCapture } from '../../../host/nic/pcap/reader.js';
import { dissect } from '../../../host/wire/index.js';
import { arp, nd, OURS } from '../../responder/rig.js';
import type { FuzzTarget } from '../../support/fuzz.js';
import { packet } from '../../support/packets.js';

const REAL = fileURLToPath(new URL('../../fixtures/capture/real-traffic.pcapng', import.meta.url));
const MAX_FRAME = 400;

const { a, b } = modelLink();
const engine = await Engine.create({
  nics: [a],
  inline: true,
  clock: 'virtual',
  frames: 64,
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
  run: frame => {
    b.send(frame);
    engine.run();
    engine.advance(1_000_000);
    if (engine.crashes.length) throw new Error(`the lane trapped: ${engine.crashes[0].reason}`);
    const { free, total, lost, doubled } = engine.ledger();
    const answers = b.receive().map(p => p.data);
    if (lost || doubled)
      throw new Error(`of ${total} frames ${free} are free, ${lost} lost, ${doubled} doubled`);
    if (answers.length > 1) throw new Error(`${answers.length} answers to one frame`);
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
