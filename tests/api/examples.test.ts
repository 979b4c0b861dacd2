/** The examples of the documentation do what the text beside them says: as they stand, on the built package. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert, suite } from '../support/suite.js';

const test = suite('api: examples');
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const built = existsSync(join(ROOT, 'dist/index.js')) ? undefined : 'dist/ is not built: npm run build';

/** Blocks of JavaScript in a text that have `mark` in them. */
function examples(file: string, mark: string): string[] {
  const blocks = [...readFileSync(join(ROOT, file), 'utf8').matchAll(/^```js\n(.*?)^```$/gms)];
  return blocks.map(b => b[1]).filter(code => code.includes(mark));
}

function run(code: string): { code: number | null; out: string; err: string } {
  const r = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

test(
  'README.md: a server and a client of TCP on a model link',
  () => {
    const found = examples('README.md', 'Stack.create');
    assert.is(found.length, 1);
    assert.equal(run(found[0]), { code: 0, out: 'hello 10.0.0.2\n', err: '' });
  },
  { missing: built, timeoutMs: 60_000 },
);

test(
  'docs/net.md: Express, WebSockets and datagrams of one stack',
  () => {
    const found = examples('docs/net.md', 'express()');
    assert.is(found.length, 1);
    assert.equal(run(found[0]), { code: 0, out: 'hello 10.0.0.2\nyou said this\ndatagram\n', err: '' });
  },
  { missing: built, timeoutMs: 60_000 },
);

test(
  'docs/rpc.md: a call and its server, over TCP and over Homa',
  () => {
    const found = examples('docs/rpc.md', 'Stack.create');
    assert.equal(found.slice(0, 2).map(run), [
      { code: 0, out: 'hello world from 10.0.0.2\n', err: '' },
      { code: 0, out: 'over Homa\n', err: '' },
    ]);
  },
  { missing: built, timeoutMs: 60_000 },
);

test(
  'docs/rpc.md: a caller in a lane, in files of their own beside the package',
  () => {
    const lane = examples('docs/rpc.md', 'module of stack.openInLane: 1000 calls');
    const main = examples('docs/rpc.md', "new URL('caller.mjs'");
    assert.equal([lane.length, main.length], [1, 1]);
    const folder = mkdtempSync(join(tmpdir(), 'rpc-in-lane-'));
    try {
      mkdirSync(join(folder, 'node_modules'));
      symlinkSync(ROOT, join(folder, 'node_modules/etherloom'));
      writeFileSync(join(folder, 'caller.mjs'), lane[0]);
      writeFileSync(join(folder, 'main.mjs'), main[0]);
      const r = spawnSync(process.execPath, ['main.mjs'], {
        ...({ cwd: folder, encoding: 'utf8', timeout: 60_000 } as const),
      });
      assert.equal([r.status, r.stdout, r.stderr], [0, 'lane 0: { answered: 1000, failed: 0 }\n', '']);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  { missing: built, timeoutMs: 60_000 },
);

test('programs are compiled by the same command wherever a document says how', () => {
  const lines = ['README.md', ...readdirSync(join(ROOT, 'docs')).map(name => `docs/${name}`)]
    .filter(name => name.endsWith('.md'))
    .flatMap(name => readFileSync(join(ROOT, name), 'utf8').split('\n'))
    .filter(line => /-target bpf/.test(line));
  assert.ok(lines.length >= 4);
  for (const line of lines)
    assert.match(
      line,
      /^\$\{CC:-clang-19\} -O2 -g -target bpf -mcpu=v3 -I node_modules\/etherloom\/bpf-progs\/include -c /,
    );
});

test(
  'host/transports/README.md: the echo gives every byte back in order, and ends when its peer has',
  () => {
    const found = examples('host/transports/README.md', 'function echo');
    assert.is(found.length, 1);
    // A megabyte in pieces through rings that wrap often, then a FIN: what comes back, and the end.
    const drive = `
import { createHash } from 'node:crypto';
import { Engine, modelLink, Stack } from 'etherloom';
const { a, b } = modelLink({ name: 'w', queues: 1, firstLanes: [0, 1], delayNs: 100_000 });
const engine = await Engine.create({ lanes: 2, nics: [a, b], streams: { count: 64, bytes: 16 << 20 } });
const [server, client] = [
  await Stack.create({ engine, ports: { 'w.a': { addresses: ['10.0.0.1/24'] } } }),
  await Stack.create({ engine, ports: { 'w.b': { addresses: ['10.0.0.2/24'] } } }),
];
await engine.start();
const options = { sendBuffer: 4096, receiveBuffer: 16384 };
server.burst.listen({ port: 7, options });
const data = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => (i * 7 + (i >> 8) * 13) & 255));
const [sent, got] = [createHash('sha256').update(data).digest('hex'), createHash('sha256')];
const c = client.burst.connect({ host: '10.0.0.1', port: 7 });
let at = 0;
const [theirs, mine] = [[], []];
while (!c.ended || c.readable > 0) {
  const n = server.burst.poll(theirs);
  for (const event of theirs.slice(0, n)) echo(event.connection);
  client.burst.poll(mine);
  if (c.connected && at < data.length && (at += c.write(data.subarray(at))) === data.length) c.shutdown();
  const views = c.readViews();
  for (const v of views) got.update(v);
  c.consume(views.reduce((sum, v) => sum + v.length, 0));
  if (n === 0) await client.burst.wait(1);
}
c.close();
console.log(got.digest('hex') === sent, c.error, [...server.burst.connections].length);
await server.close();
await client.close();
await engine.stop();
`;
    const echo = /^function echo[\s\S]*?^}$/m.exec(found[0])![0];
    assert.equal(run(drive + echo), { code: 0, out: 'true undefined 0\n', err: '' });
  },
  { missing: built, timeoutMs: 60_000 },
);

test(
  'names of options, figures and states in docs/tcp.md are those that there are',
  async () => {
    const text = readFileSync(join(ROOT, 'docs/tcp.md'), 'utf8');
    const section = (title: string): string => text.split(/^## /m).find(s => s.startsWith(title))!;
    const named = (title: string): string[] =>
      [...section(title).matchAll(/^\| (`[^|]*) \|/gm)].flatMap(row =>
        [...row[1].matchAll(/`(\w+)[^`]*`/g)].map(m => m[1]),
      );
    const options = run(`
import { Engine, modelLink, Stack } from 'etherloom';
const { a, b } = modelLink({ name: 'w' });
const engine = await Engine.create({ inline: true, nics: [a, b], streams: { count: 8, bytes: 1 << 20 } });
const stack = await Stack.create({ engine, ports: { 'w.a': { addresses: ['10.0.0.1/24'] } } });
await engine.start();
const names = {};
for (const [what, call] of [
  ['options', () => stack.burst.connect({ host: '10.0.0.2', port: 1, options: { no: 1 } })],
  ['connect', () => stack.burst.connect({ no: 1 })],
  ['listen', () => stack.burst.listen({ no: 1 })],
]) try { call(); } catch (e) { names[what] = e.expected.split(';')[0].replace('options among ', '').split(', '); }
names.info = Object.keys(stack.burst.connect({ host: '10.0.0.2', port: 1 }).info());
await stack.close(); await engine.stop();
console.log(JSON.stringify(names));`);
    const known = JSON.parse(options.out) as Record<'options' | 'connect' | 'listen' | 'info', string[]>;
    assert.equal(named('Options of a connection').sort(), known.options.sort());
    assert.equal(named('connect').sort(), known.connect.sort());
    assert.equal(named('listen').sort(), known.listen.sort());
    assert.equal(named('info()').sort(), known.info.sort());
  },
  { missing: built, timeoutMs: 60_000 },
);
