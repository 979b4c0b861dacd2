/**
 * Every program of bpf-progs over the capture of real traffic: interpreter, JIT and the real kernel must agree on each
 * verdict, each byte and, in the end, on every map.
 */
import { fileURLToPath } from 'node:url';
import { readCapture } from '../../host/nic/pcap/reader.js';
import { missingKernel } from '../support/helper_rig.js';
import { loadObject, mapText, type ProgramEngine, programEngines } from '../support/program_rig.js';
import { assert, suite } from '../support/suite.js';

const test = suite('programs over the capture');
const noKernel = missingKernel();
const CAPTURE = fileURLToPath(new URL('../fixtures/capture/real-traffic.pcapng', import.meta.url));
const packets = [...readCapture(CAPTURE)].map(p => p.data.slice()).filter(d => d.length >= 14);

/** Object, program, and the verdicts that the configuration brings about. */
const PROGRAMS: [object: string, program: string, verdicts: number[]][] = [
  ['pass', 'pass', [2]],
  ['drop', 'drop', [1]],
  ['parse_drop', 'parse_drop', [1, 2]],
  ['firewall', 'firewall', [1, 2]],
  ['l4lb', 'l4lb', [1, 2, 3]],
  ['forward', 'forward', [1, 2, 3]],
  ['nat', 'nat', [1, 2]],
  ['router', 'router', [1, 2]],
  ['router', 'router_fib', [1, 2]],
  ['flow_stats', 'flow_stats', [2]],
  ['port_knock', 'port_knock', [1, 2]],
  ['reflect', 'reflect', [2, 3]],
  ['reflect', 'reflect_l2', [3]],
  ['xsk_redirect', 'xsk_redirect', [2]],
  ['tc_edge', 'tc_mark', [0]],
  ['tc_edge', 'tc_vlan', [0]],
  ['dns_tap', 'dns_tap', [0, 512]],
];

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function hasHeader(data: Uint8Array): boolean {
  const etherType = (data[12] << 8) | data[13];
  return data.length >= (etherType === 0x0800 ? 34 : etherType === 0x86dd ? 54 : 14);
}

/** Runs all packets through the engines; throws at the first that is not like the first engine's. */
function compare(engines: readonly ProgramEngine[], type: string): Map<number, number> {
  const verdicts = new Map<number, number>();
  packets.forEach((data, i) => {
    // The kernel makes no sk_buff of an IP packet without a whole header.
    const able = engines.filter(e => e.name !== 'kernel' || type === 'xdp' || hasHeader(data));
    const [first, ...others] = able.map(e => e.run(data));
    verdicts.set(first.retval, (verdicts.get(first.retval) ?? 0) + 1);
    others.forEach((o, k) => {
      const who = `packet ${i}, ${able[k + 1].name} against ${able[0].name}`;
      assert.is(o.retval, first.retval, `${who}: verdict on ${hex(data.subarray(0, 80))}`);
      // The kernel gives a socket filter's link header back as zeros.
      const from = type === 'socket_filter' ? 14 : 0;
      if (Buffer.compare(o.data.subarray(from), first.data.subarray(from)) !== 0)
        assert.is(hex(o.data), hex(first.data), who);
    });
  });
  return verdicts;
}

for (const [object, program, expected] of PROGRAMS)
  test(
    `${program}: interpreter, JIT and kernel agree on ${packets.length} packets and on every map`,
    () => {
      const spec = loadObject(object);
      const set = programEngines(object, { program, kernel: noKernel === undefined });
      try {
        const verdicts = compare(set.all, spec.programs[program].type);
        assert.equal(
          [...verdicts.keys()].sort((a, b) => a - b),
          expected,
        );
        for (const [name, { type }] of Object.entries(spec.maps)) {
          // The kernel does not say what is in it.
          if (type === 'xskmap') continue;
          const [first, ...others] = set.all.map(e => mapText(e, name));
          others.forEach((o, k) => {
            assert.is(o, first, `map ${name}, ${set.all[k + 1].name} against ${set.all[0].name}`);
          });
        }
      } finally {
        set.close();
      }
    },
    { timeoutMs: 60_000 },
  );
