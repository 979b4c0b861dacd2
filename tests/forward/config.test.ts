/** What a configuration may say, and how it is told what it may not. */
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layout } from '../../host/bpf/btf/types.js';
import { loadElf } from '../../host/bpf/elf/load.js';
import type { EtherloomError } from '../../host/errors.js';
import {
  type ForwardInput,
  forwardConfig,
  parseBackend,
  readForwardConfig,
} from '../../host/forward/config.js';
import { MAPPING, REASONS } from '../../host/forward/counters.js';
import { FORWARD_OBJECT } from '../../host/forward/hop.js';
import { chainRules } from '../../host/forward/rules.js';
import { FILTERS } from '../support/program_rig.js';
import { assert, suite } from '../support/suite.js';
import { FIRST_PORT, FRONT, input, REAR } from './rig.js';

const test = suite('forward: configuration');

test('what is left out is filled in', () => {
  const c = forwardConfig({
    address: '10.0.0.2',
    services: [{ ports: [80], backends: ['10.1.0.1:8000'] }],
  });
  assert.equal(c.source, ['10.0.0.2']);
  assert.equal([c.firstPort, c.flows], [16384, 16384]);
  assert.equal(c.services[0].protocols, ['tcp', 'udp']);
  assert.is(c.ages.tcpOpen, 7440);
});

test('backends are written as addresses with ports, IPv6 in brackets, with a MAC if it is known', () => {
  assert.equal(parseBackend('10.0.0.1:80'), { address: '10.0.0.1', port: 80 });
  assert.equal(parseBackend('[fd00::1]:80@02:00:00:00:00:01'), {
    address: 'fd00::1',
    port: 80,
    mac: '02:00:00:00:00:01',
  });
  for (const wrong of ['10.0.0.1', 'fd00::1:80', ':80', '10.0.0.1:', '[fd00::1]80'])
    assert.is(parseBackend(wrong), undefined, wrong);
});

const service = { ports: [80], backends: ['10.1.0.1:8000'] };
const base = { address: '10.0.0.2', services: [service] };
const WRONG: [path: string, config: unknown, expected: RegExp][] = [
  ['', 7, /object of address/],
  ['adress', { ...base, adress: 1 }, /one of address/],
  ['address', { services: [service] }, /1 to 2/],
  ['address[0]', { ...base, address: 'here' }, /IPv4 or IPv6/],
  ['address[0]', { ...base, address: '0.0.0.0' }, /IPv4 or IPv6/],
  ...['224.0.0.1', '239.1.2.3', '255.255.255.255', '0.1.2.3', 'ff02::1', '::'].map(
    (address): [string, unknown, RegExp] => ['address[0]', { ...base, address }, /of one station/],
  ),
  ['source[0]', { ...base, source: '224.0.0.1' }, /of one station/],
  ...['224.0.0.1:80@02:00:00:00:00:01', '[ff05::1]:80'].map((backend): [string, unknown, RegExp] => [
    'services[0].backends[0].address',
    { ...base, services: [{ ...service, backends: [backend] }] },
    /of one station/,
  ]),
  ...['ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00', '01:00:5e:00:00:01'].map((mac): [string, unknown, RegExp] => [
    'services[0].backends[0].mac',
    { ...base, services: [{ ...service, backends: [`10.1.0.1:80@${mac}`] }] },
    /of one station/,
  ]),
  ['address', { ...base, address: ['10.0.0.1', '10.0.0.2'] }, /each family/],
  ['source', { ...base, source: 'fd00::1' }, /families of 10.0.0.2/],
  ['services', { address: '10.0.0.2', services: [] }, /1 to 256/],
  ['services[0].ports[1]', { ...base, services: [{ ...service, ports: [80, 65536] }] }, /1–65535/],
  ['services[0].ports', { ...base, services: [{ ...service, ports: [] }] }, /1 to 16/],
  ['services[0].ports[0]', { ...base, services: [{ ...service, ports: [20000] }] }, /none of the source/],
  ['services[0].backends[0]', { ...base, services: [{ ...service, backends: ['x'] }] }, /ADDRESS:PORT/],
  ['services[0].backends[0]', { ...base, services: [{ ...service, backends: ['[fd00::1]:1'] }] }, /family/],
  [
    'services[0].backends[0].mac',
    { ...base, services: [{ ...service, backends: ['10.1.0.1:1@02:00'] }] },
    /02:00:00:00:00:01/,
  ],
  ['services[0].protocols[0]', { ...base, services: [{ ...service, protocols: ['sctp'] }] }, /tcp or udp/],
  ['services[1].ports', { ...base, services: [service, { ...service, ports: [81, 82] }] }, /as many as/],
  ['services[1].ports[0]', { ...base, services: [service, service] }, /another port/],
  ['flows', { ...base, flows: 0 }, /1–49152/],
  ['flows', { ...base, firstPort: 60000, flows: 6000 }, /1–5536/],
  ['firstPort', { ...base, firstPort: 80 }, /1024–65535/],
  ['ages.tcpOpen', { ...base, ages: { tcpOpen: -1 } }, /a number, 0.001–/],
  ['ages.tcp', { ...base, ages: { tcp: 1 } }, /tcpOpening/],
];

for (const [path, config, expected] of WRONG)
  test(`refused: ${path || 'the whole'} (${expected.source})`, () => {
    try {
      forwardConfig(config, 'chain.json');
    } catch (error) {
      const e = error as EtherloomError;
      assert.is(e.code, 'ERR_FORWARD_CONFIG');
      assert.is(e.path, path);
      assert.is(e.file, 'chain.json');
      assert.match(e.expected ?? '', expected);
      return;
    }
    assert.unreachable('it was taken');
  });

test('a file says the same; one that is no JSON is named', () => {
  const file = join(tmpdir(), `etherloom-forward-${process.pid}.json`);
  writeFileSync(file, JSON.stringify(input(3)));
  assert.equal(readForwardConfig(file), forwardConfig(input(3)));
  writeFileSync(file, '{');
  assert.throws(
    () => readForwardConfig(file),
    (e: EtherloomError) => e.code === 'ERR_CONFIG_READ' && e.file === file,
  );
});

const rulesOf = (more: Partial<ForwardInput>, shared = false) =>
  chainRules(forwardConfig({ ...input(1), ...more }), shared);
const BACKENDS4 = ['10.1.0.1:8000@02:00:00:00:01:01'];

test('rules of a chain: a family without a backend and a protocol without a service are left to the kernel', () => {
  const { front, rear } = rulesOf({
    services: [{ ports: [80], backends: BACKENDS4, protocols: ['tcp'] }],
  });
  assert.equal(front, [{ protocol: 'tcp', address: FRONT, port: 80 }]);
  assert.equal(rear, [{ protocol: 'tcp', address: REAR, port: [FIRST_PORT, FIRST_PORT + 1023] }]);
  assert.is(rulesOf({}).front.length, 4, 'two families, two protocols');
});

test('rules of a chain: ports side by side are one rule, and too many rules are refused before anything is made', () => {
  const services = (ports: number[]) => ports.map(port => ({ ports: [port], backends: BACKENDS4 }));
  const side = Array.from({ length: 200 }, (_, i) => 2000 + ((i * 7) % 200));
  assert.equal(
    rulesOf({ services: services([...side, 443]) }).front.map(r => r.port),
    [443, [2000, 2199], 443, [2000, 2199]],
  );
  const apart = Array.from({ length: 32 }, (_, i) => 2000 + 2 * i);
  assert.is(rulesOf({ services: services(apart) }).front.length, 64);
  for (const [ports, shared] of [
    [[...apart, 3001], false],
    [apart, true],
  ] as const)
    assert.throws(
      () => rulesOf({ services: services([...ports]) }, shared),
      (e: EtherloomError) =>
        e.code === 'ERR_FORWARD_CONFIG' && e.path === 'services' && /66 rules.*at most 64/.test(e.message),
    );
});

test('names of reasons and places of a flow are those of the object', () => {
  const object = loadElf(new Uint8Array(readFileSync(FORWARD_OBJECT)), 'forward.bpf.o');
  const { types, valueId } = object.maps.flows.btf!;
  const at = Object.fromEntries(layout(types, valueId).map(m => [m.name, m.bitOffset / 8]));
  assert.is(object.maps.flows.valueSize, MAPPING.size);
  assert.equal(
    [at.expires_ns, at.state, at.client, at.backend, at.client_port, at.listen_port, at.backend_port],
    [
      MAPPING.expires,
      MAPPING.state,
      MAPPING.client,
      MAPPING.backend,
      MAPPING.clientPort,
      MAPPING.listenPort,
      MAPPING.backendPort,
    ],
  );
  assert.equal(
    [at.protocol, at.family, at.client_mac],
    [MAPPING.protocol, MAPPING.family, MAPPING.clientMac],
  );
  assert.is(object.maps.counters.maxEntries, REASONS.length);
  const source = readFileSync(`${FILTERS}forward/hop.h`, 'utf8');
  const named = (/enum reason \{([^}]*)\}/.exec(source)?.[1] ?? '').matchAll(/\bCOUNT_(\w+),/g);
  assert.equal(
    [...named].map(([, name]) => name.toLowerCase()),
    [...REASONS],
  );
});
