/** echo, kv and serve on NICs of the kernel: AF_XDP, TAP and TUN, with programs of others at the other end. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Running } from '../support/attached.js';
import { ip, linkName, Namespace, runAsync } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';
import { missing } from '../tcp/interop/missing.js';

const test = suite('cli: peers of the kernel');
const KV_CLIENT = fileURLToPath(new URL('kv_client.mjs', import.meta.url));
const OURS = '10.77.0.1';
const PEER = '10.77.0.2';

const folder = mkdtempSync(join(tmpdir(), 'etherloom-peers-'));
process.once('exit', () => rmSync(folder, { recursive: true }));
const LARGE = randomBytes(3_000_000);
writeFileSync(join(folder, 'large.bin'), LARGE);
writeFileSync(join(folder, 'index.html'), '<p>hello</p>\n');
const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A NIC for the command, and the kernel's other end of it. */
interface Scene {
  /** What follows the command on the line. */
  line: string[];
  /** Where the command runs, and where its peers do. */
  ns: Namespace;
  peer: Namespace;
  /** When the command is up. */
  ready(): void;
  close(): void;
}

async function veth(own: boolean): Promise<Scene> {
  const [ns, peer] = [new Namespace('peers'), new Namespace('peers')];
  const [near, far] = [linkName('en'), linkName('ef')];
  ip('link', 'add', near, 'netns', ns.name, 'type', 'veth', 'peer', 'name', far, 'netns', peer.name);
  const { code, err } = await peer.run('ethtool', '-K', far, 'tx', 'off');
  if (code !== 0) throw new Error(err);
  if (own) ns.ip('link', 'set', near, 'up');
  else ns.configure(near, `${OURS}/24`);
  peer.configure(far, `${PEER}/24`);
  const nic = `af_xdp:${near}${own ? ',own=yes' : ''}`;
  return {
    line: ['--nic', nic, ...(own ? ['--address', `${OURS}/24`] : [])],
    ...{ ns, peer, ready() {} },
    close() {
      ns.close();
      peer.close();
    },
  };
}

/** The command makes the interface; the kernel of the same namespace is at its other end. */
async function virtual(kind: 'tap' | 'tun'): Promise<Scene> {
  const ns = new Namespace('peers');
  return {
    line: ['--nic', `${kind}:el0`, '--address', `${OURS}/24`],
    ...{ ns, peer: ns },
    ready: () => ns.configure('el0', `${PEER}/24`),
    close: () => ns.close(),
  };
}

const SCENES = {
  'af_xdp beside the kernel': () => veth(false),
  'af_xdp of its own': () => veth(true),
  tap: () => virtual('tap'),
  tun: () => virtual('tun'),
} as const;
type SceneName = keyof typeof SCENES;

/** Runs a server, has `work` done by its peers, and ends it by Ctrl-C: without an error, and without a warning. */
async function served(name: SceneName, args: string[], work: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = await SCENES[name]();
  try {
    const running = new Running([...args, ...scene.line], { ns: scene.ns });
    const started = await running.event('started');
    assert.is(started.address, OURS);
    scene.ready();
    await work(scene);
    const { counters, warnings } = (await running.stop()) as {
      counters: Record<string, number>;
      warnings: string[];
    };
    assert.ok(counters.PassiveOpens > 0 && counters.InSegs > 0, JSON.stringify(counters));
    assert.is(counters.InCsumErrors ?? 0, 0);
    assert.equal(warnings, []);
  } finally {
    scene.close();
  }
}

for (const name of Object.keys(SCENES) as SceneName[])
  test(
    `curl on serve, ${name}: files whole and in part, lists, what is not there, over one connection`,
    () =>
      served(name, ['serve', folder], async ({ peer }) => {
        const url = `http://${OURS}:8080`;
        const to = join(folder, `${name.replaceAll(' ', '_')}.got`);
        const curl = (...args: string[]) => peer.run('curl', '-sS', '--max-time', '10', ...args);
        const whole = await curl('-o', to, `${url}/large.bin`);
        assert.is(whole.code, 0, whole.err);
        assert.is(sum(readFileSync(to)), sum(LARGE));
        const part = await curl('-r', '1000-1999', '-o', to, '-w', '%{http_code}', `${url}/large.bin`);
        assert.is(part.out, '206', part.err);
        assert.ok(readFileSync(to).equals(LARGE.subarray(1000, 2000)));
        const shown = '%{http_code} %{num_connects}\n';
        const three = await curl('-w', shown, '-o', '-', `${url}/`, '-o', '/dev/null', `${url}/nothing`);
        assert.is(three.out, '<p>hello</p>\n200 1\n404 0\n', three.err);
        const refused = await curl('-X', 'DELETE', '-o', '/dev/null', '-w', '%{http_code}', `${url}/`);
        assert.is(refused.out, '405');
      }),
    { missing },
  );

for (const [name, level] of [
  ['af_xdp of its own', 'burst'],
  ['af_xdp beside the kernel', 'lane'],
  ['tun', 'duplex'],
] as const)
  test(
    `socat and nc on echo, ${name}, ${level} level: every byte comes back`,
    () =>
      served(name, ['echo', 'server', '--level', level], async ({ peer }) => {
        const exec = ['netns', 'exec', peer.name];
        const text = LARGE.toString('hex').slice(0, 2_000_000);
        const socat = await runAsync('ip', [...exec, 'socat', '-t10', '-', `TCP:${OURS}:50000`], text);
        assert.is(socat.code, 0, socat.err);
        assert.is(sum(Buffer.from(socat.out)), sum(Buffer.from(text)));
        const nc = await runAsync('ip', [...exec, 'nc', '-N', OURS, '50000'], 'hello\n');
        assert.equal([nc.code, nc.out], [0, 'hello\n']);
      }),
    { missing },
  );

const STORED = [
  { status: 0, opaque: 1, value: '' },
  { status: 0, opaque: 2, value: '' },
  { status: 0, opaque: 3, value: 'red' },
  { status: 1, opaque: 4, value: '' },
  { status: 0, opaque: 5, value: 'large' },
  { status: 0, opaque: 6, value: '' },
  { status: 1, opaque: 7, value: '' },
];
for (const [name, level] of [
  ['af_xdp beside the kernel', 'burst'],
  ['tap', 'lane'],
  ['tun', 'duplex'],
] as const)
  test(
    `a client of its own on kv, ${name}, ${level} level: what was set is got, what was deleted is not`,
    () =>
      served(name, ['kv', 'server', '--level', level], async ({ peer }) => {
        const { code, out, err } = await peer.run(process.execPath, KV_CLIENT, OURS, '11211');
        assert.is(code, 0, err);
        const answers = JSON.parse(out) as typeof STORED;
        for (const from of [0, 8]) {
          assert.equal(answers.slice(from, from + 7), STORED);
          assert.match(answers[from + 7].value, /\d/);
        }
      }),
    { missing },
  );

/** Runs a load to its end. */
async function load(scene: Scene, args: string[]): Promise<Record<string, unknown>> {
  const running = new Running([...args, ...scene.line], { ns: scene.ns });
  // A connection waits for its peer's interface.
  if (scene.ns === scene.peer) {
    for (let i = 0; i < 500 && !scene.ns.ip('link').includes('el0'); i++)
      await new Promise(next => setTimeout(next, 10));
    scene.ready();
  }
  return running.event('stopped');
}

for (const name of ['af_xdp of its own', 'tap', 'tun'] as const)
  test(
    `echo client on ${name} against socat: every message comes back`,
    async () => {
      const scene = await SCENES[name]();
      const far = scene.peer.spawn('socat', 'TCP-LISTEN:50000,fork,reuseaddr', 'EXEC:cat');
      try {
        const line = ['echo', 'client', '--ip', PEER, '-f', '3', '-o', '4', '-w', '0', '--duration', '1'];
        const { messages, errors } = await load(scene, line);
        assert.equal(errors, []);
        assert.ok((messages as number) > 100, `${messages}`);
      } finally {
        far.kill();
        scene.close();
      }
    },
    { missing },
  );

test(
  'kv bench against kv server, an engine at each end of a veth pair: no get misses, none fails',
  async () => {
    const near = await veth(true);
    const [{ ifname: far }] = JSON.parse(near.peer.ip('-j', 'address', 'show', 'to', PEER)) as {
      ifname: string;
    }[];
    near.peer.ip('address', 'flush', 'dev', far);
    try {
      const server = new Running(['kv', 'server', ...near.line], { ns: near.ns });
      await server.event('started');
      const line = ['kv', 'bench', `${OURS}:11211`, '-C', '4', '-n', '100', '-w', '0', '-T', '1'];
      const place = ['--nic', `af_xdp:${far},own=yes`, '--address', `${PEER}/24`];
      const bench = new Running([...line, ...place], { ns: near.peer });
      const { operations, misses, failures, errors } = await bench.event('stopped');
      assert.equal([misses, failures, errors], [0, 0, []]);
      assert.ok((operations as number) > 100, `${operations}`);
      await server.stop();
    } finally {
      near.close();
    }
  },
  { missing },
);
