/**
 * The same packets through the hop in the interpreter, the JIT and the real kernel: verdicts, bytes and in the end every
 * map must be the same. Packets of all kinds, and a seeded mass of broken ones.
 */
import { forwardConfig } from '../../host/forward/config.js';
import { hopConfig, innerMac, planHops } from '../../host/forward/hop.js';
import { missingKernel } from '../support/helper_rig.js';
import { packet, read } from '../support/packets.js';
import { mapText, type ProgramEngine, programEngines } from '../support/program_rig.js';
import { random } from '../support/random.js';
import { assert, suite } from '../support/suite.js';
import { fragments, icmpError, padding, partial, withExtensions, withOptions } from './frames.js';
import {
  ACK,
  BACKEND,
  BACKEND6,
  CLIENT,
  CLIENT6,
  FIN_ACK,
  FRONT,
  FRONT6,
  input,
  PORT,
  REAR,
  REAR6,
  RST,
  reply,
  request,
  SYN,
  SYN_ACK,
} from './rig.js';

const test = suite('forward: engines agree');
const noKernel = missingKernel();
const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');
const XDP_TX = 3;

/** The hop in every engine that is here, without ports: what is translated goes back where it came from. */
function engines(flows = 1024) {
  const [hop] = planHops(forwardConfig(input(1, { flows })), {
    hops: [[innerMac(0, 0), innerMac(0, 1)]],
    backend: b => b.mac!,
  });
  const config = hopConfig({ ...hop, secret: 7, firstSlot: 0, complete: { forth: true, back: true } });
  const set = programEngines('forward', { kernel: noKernel === undefined, config });
  const run = (data: Uint8Array): { retval: number; data: Uint8Array } => {
    const [first, ...others] = set.all.map(e => e.run(data));
    others.forEach((o, i) => {
      const who = `${set.all[i + 1].name} against ${set.all[0].name}: ${hex(data.subarray(0, 96))}`;
      assert.is(o.retval, first.retval, who);
      assert.is(hex(o.data), hex(first.data), who);
    });
    return first;
  };
  const close = (): void => {
    for (const name of [
      'flows',
      'table4',
      'table6',
      'fragments',
      'counters',
      'backends',
      'listeners',
      '.bss',
    ]) {
      const [first, ...others] = set.all.map((e: ProgramEngine) => mapText(e, name));
      others.forEach((o, i) => {
        assert.is(o, first, `map ${name}, ${set.all[i + 1].name} against ${set.all[0].name}`);
      });
    }
    set.close();
  };
  return { ...set, run, close };
}

const FAMILIES = [
  { client: CLIENT, front: FRONT, rear: REAR, backend: BACKEND },
  { client: CLIENT6, front: FRONT6, rear: REAR6, backend: BACKEND6 },
] as const;

/** A conversation with everything in it; each packet is made from what came out for the one before. */
function conversation(run: (data: Uint8Array) => { retval: number; data: Uint8Array }): Uint8Array[] {
  const played: Uint8Array[] = [];
  const play = (data: Uint8Array): Uint8Array => {
    played.push(data);
    const out = run(data);
    assert.is(out.retval, XDP_TX, hex(data));
    return out.data;
  };
  for (const f of FAMILIES)
    for (const protocol of ['tcp', 'udp'] as const)
      for (const n of [0, 1, 35, 700]) {
        const sport = 3000 + n;
        const payload = Uint8Array.from({ length: n }, (_, i) => i & 255);
        const fields = { src: f.client, protocol, sport, payload };
        const there = play(partial(request({ ...fields, flags: SYN })));
        assert.ok(read(there).sound);
        const answer = reply(read(there), { flags: SYN_ACK, payload });
        const back = play(partial(answer));
        assert.ok(read(back).sound);
        play(request({ ...fields, flags: ACK }));
        for (const part of fragments(request({ ...fields, payload: new Uint8Array(500) }), 256, n))
          play(part);
        const strange = request({ ...fields, flags: ACK });
        play(
          f.client === CLIENT
            ? withOptions(strange, [1, 1, 1, 0])
            : withExtensions(strange, [padding(0), padding(60, 2)]),
        );
        play(request({ ...fields, vlans: [1, 2] }));
        for (const quoted of [48, 400]) {
          play(icmpError(there, { src: f.backend, dst: f.rear }, quoted));
          play(icmpError(back, { src: f.client, dst: f.front }, quoted));
        }
        if (protocol === 'tcp') {
          play(request({ ...fields, flags: FIN_ACK }));
          play(reply(read(there), n ? { flags: FIN_ACK } : { flags: RST, seq: 2 }));
          play(request({ ...fields, flags: SYN }));
        }
      }
  return played;
}

test(
  'a conversation with everything in it',
  () => {
    const set = engines();
    conversation(set.run);
    set.close();
  },
  { timeoutMs: 60_000 },
);

test(
  'ports run out in the same way',
  () => {
    const set = engines(16);
    const verdicts = new Map<number, number>();
    for (let i = 0; i < 40; i++) {
      const { retval, data } = set.run(request({ sport: 100 + i, flags: SYN }));
      verdicts.set(retval, (verdicts.get(retval) ?? 0) + 1);
      // One has no answer: the next one's port. Of several the clocks would choose, which are not the same.
      if (i !== 15 && retval === XDP_TX) {
        set.run(reply(read(data), { flags: SYN_ACK }));
        set.run(request({ sport: 100 + i, flags: ACK }));
      }
      if (i % 5 === 4) set.run(request({ sport: 96 + i, flags: RST, seq: 2 }));
    }
    assert.ok(verdicts.get(XDP_TX)! > 16 && verdicts.get(1)! > 0, `${[...verdicts]}`);
    set.close();
  },
  { timeoutMs: 60_000 },
);

test(
  'hostile packets: cut short, bits flipped, lengths that lie; 1,500 with seed 1',
  () => {
    const set = engines();
    const good = conversation(set.run);
    const next = random(1);
    const below = (n: number): number => next() % n;
    const verdicts = new Set<number>();
    for (let i = 0; i < 1500; i++) {
      const data = good[below(good.length)].slice();
      const kind = below(4);
      if (kind === 0) verdicts.add(set.run(data.subarray(0, 14 + below(data.length - 14))).retval);
      else {
        // Most of the damage where it hurts: in the headers.
        for (let k = below(4); k >= 0; k--)
          data[12 + below(kind === 1 ? data.length - 12 : Math.min(90, data.length - 12))] = below(256);
        verdicts.add(set.run(data).retval);
      }
    }
    assert.equal([...verdicts].sort(), [1, 2, 3]);
    set.close();
  },
  { timeoutMs: 120_000 },
);

test('a packet to the service from every length of nothing is no packet', () => {
  const set = engines();
  const whole = packet({ src: CLIENT, dst: FRONT, dport: PORT, flags: SYN });
  for (let n = 14; n < whole.length - 18; n++) set.run(whole.subarray(0, n));
  set.close();
});
