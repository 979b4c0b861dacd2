/**
 * Writes config.json: services, backends, and the Maglev ring of each service.
 *   node bpf-progs/filters/l4lb/config.mjs
 * A ring is recomputed when backends come or go; most of its entries stay as they were (Eisenbud et al.,
 * "Maglev", NSDI 2016, §3.4).
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** RING_SIZE of l4lb.bpf.c: a prime. */
export const RING_SIZE = 251;

/** FNV-1a, 32 bits. */
function hash(text, seed) {
  let h = (0x811c9dc5 ^ seed) >>> 0;
  for (const c of Buffer.from(text)) h = Math.imul(h ^ c, 0x01000193) >>> 0;
  return h;
}

/** Ring of `size` (a prime) entries: names take turns, each its own next free place in its own order. */
export function maglev(names, size = RING_SIZE) {
  const orders = names.map(name => ({ at: hash(name, 0) % size, step: 1 + (hash(name, 0x5bd1e995) % (size - 1)) }));
  const ring = new Array(size).fill(undefined);
  for (let filled = 0; filled < size && names.length; )
    for (const [i, order] of orders.entries()) {
      while (ring[order.at] !== undefined) order.at = (order.at + order.step) % size;
      ring[order.at] = names[i];
      if (++filled === size) break;
    }
  return ring;
}

const TCP = 6;
const UDP = 17;
const ENCAP = 1;
const services = [
  { addr: ['10.10.0.2'], family: 2, port: 80, protocol: TCP, flags: 0, backends: [1, 2, 3, 4] },
  { addr: 'fd00:10::2', family: 10, port: 80, protocol: TCP, flags: ENCAP, backends: [5, 6] },
  { addr: ['10.10.0.2'], family: 2, port: 4000, protocol: UDP, flags: ENCAP, backends: [7, 8, 9] },
];
const backends = {
  1: { addr: ['10.20.0.1'], port: 8080, family: 2 },
  2: { addr: ['10.20.0.2'], port: 8080, family: 2 },
  3: { addr: ['10.20.0.3'], port: 8080, family: 2 },
  4: { addr: ['10.20.0.4'], port: 8080, family: 2 },
  5: { addr: 'fd00:20::5', port: 0, family: 10 },
  6: { addr: 'fd00:20::6', port: 0, family: 10 },
  7: { addr: ['10.20.1.7'], port: 0, family: 2 },
  8: { addr: ['10.20.1.8'], port: 0, family: 2 },
  9: { addr: ['10.20.1.9'], port: 0, family: 2 },
};
const key = s => ({ addr: s.addr, port: `be16:${s.port}`, protocol: s.protocol, family: s.family });

/** The configuration, as `--config` takes it. */
export function configuration() {
  return {
    local: [{ key: 0, value: { addr4: '10.10.0.2', addr6: 'fd00:10::2', mac: '02:00:00:00:00:0b' } }],
    vips: services.map((s, i) => ({ key: key(s), value: { number: i + 1, flags: s.flags } })),
    backends: Object.entries(backends).map(([n, b]) => ({
      key: Number(n),
      value: { ...b, port: `be16:${b.port}`, up: 1, mac: `02:00:00:00:02:0${n}` },
    })),
    returns: services
      .filter(s => !(s.flags & ENCAP))
      .flatMap(s => s.backends.map(n => ({ key: key({ ...backends[n], protocol: s.protocol }), value: key(s) }))),
    rings: services.flatMap((s, i) =>
      maglev(s.backends.map(String)).map((n, k) => ({ key: (i + 1) * RING_SIZE + k, value: Number(n) })),
    ),
  };
}

/** JSON with one entry a line, ring entries eight. */
export function print(config) {
  const maps = Object.entries(config).map(([name, entries]) => {
    const lines = [];
    const perLine = name === 'rings' ? 8 : 1;
    for (let i = 0; i < entries.length; i += perLine)
      lines.push(`    ${entries.slice(i, i + perLine).map(e => JSON.stringify(e)).join(', ')}`);
    return `  ${JSON.stringify(name)}: [\n${lines.join(',\n')}\n  ]`;
  });
  return `{\n${maps.join(',\n')}\n}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(new URL('config.json', import.meta.url), print(configuration()));
