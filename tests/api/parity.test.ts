/** docs/net.md against `net` and `dgram` of this Node, and against ours: a public name is in ours, or the table says it is not. */
import dgram from 'node:dgram';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { Engine } from '../../host/engine/engine.js';
import { Stack } from '../../host/net/stack.js';
import { modelLink } from '../../host/nic/index.js';
import { assert, suite } from '../support/suite.js';

const test = suite('api: parity with net and dgram');
const TABLE = readFileSync(new URL('../../docs/net.md', import.meta.url), 'utf8');
/** Names that the table tells of anywhere. */
const told = new Set([...TABLE.matchAll(/`([A-Za-z_]\w*)`/g)].map(m => m[1]));
const missing = new Set(
  [...TABLE.matchAll(/^Not there: (.*)$/gm)].flatMap(m => [...m[1].matchAll(/`(\w+)`/g)].map(n => n[1])),
);

/** Public names of an object and of what it inherits, but for those of every Duplex or EventEmitter. */
function names(object: object, upTo: object = Object.prototype): Set<string> {
  const out = new Set<string>();
  for (let o = object; o && o !== upTo; o = Object.getPrototypeOf(o))
    for (const name of Object.getOwnPropertyNames(o)) if (!/^_|^constructor$/.test(name)) out.add(name);
  return out;
}

const { a, b } = modelLink({ name: 'wire' });
const engine = await Engine.create({
  ...{ nics: [a, b], inline: true, frames: 512 },
  streams: { count: 16, bytes: 8 << 20, apps: 4 },
});
const stack = await Stack.create({ engine, ports: { 'wire.a': { addresses: ['10.0.0.1/24'] } } });
const [theirDgram, ourDgram] = [dgram.createSocket('udp4'), stack.dgram.createSocket('udp4')];
const pairs: [string, object, object][] = [
  ['net', net, stack.net],
  ['net.Socket', new net.Socket(), new stack.net.Socket()],
  ['net.Server', new net.Server(), new stack.net.Server()],
  ['dgram', dgram, stack.dgram],
  ['dgram.Socket', theirDgram, ourDgram],
];

for (const [what, theirs, ours] of pairs)
  test(`${what}: what Node has is there, or is told not to be`, () => {
    const have = names(ours);
    const lacking = [...names(theirs)].filter(name => !have.has(name) && name !== 'default');
    assert.equal(
      lacking.filter(name => !missing.has(name)),
      [],
    );
  });

test('what is told not to be there is not', () => {
  for (const name of missing) {
    if (name.startsWith('_') || name === 'Socket') continue;
    assert.ok(
      pairs.every(([, , ours]) => !names(ours).has(name)),
      name,
    );
  }
});

test('the table names what Node’s sockets and servers have beyond streams and emitters', () => {
  for (const [what, theirs] of pairs) {
    const own = names(what.includes('.') ? Object.getPrototypeOf(theirs) : theirs, undefined);
    const base = new Set([...names(Object.getPrototypeOf(net.Socket.prototype)), 'default']);
    const untold = [...own].filter(name => !base.has(name) && !told.has(name));
    assert.equal(untold, [], what);
  }
});

test('everything is closed', async () => {
  theirDgram.close();
  ourDgram.close();
  await stack.close();
  await engine.stop();
});
