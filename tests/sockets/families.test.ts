/** Names with several addresses: which are tried, for how long, and what is told; addresses that are blocked. */
import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { BlockList, type LookupFunction, type Server, type Socket } from 'node:net';
import { assert } from '../support/suite.js';
import { both, type Place, stacks } from './hosts.js';
import { codeOf, errorOf, finish, gather, heard, listening, portOf, recorded } from './pairs.js';

const { test, engineOnly, end } = both('sockets: families');
const NAME = 'several.test';
const ATTEMPTS = [
  'lookup',
  'connectionAttempt',
  'connectionAttemptFailed',
  'connectionAttemptTimeout',
  'connect',
];

/** A lookup that knows one name, by these addresses. */
const known =
  (addresses: readonly string[], asked: boolean[] = []): LookupFunction =>
  (_, { all }, found) => {
    asked.push(all === true);
    const list = addresses.map(address => ({ address, family: address.includes(':') ? 6 : 4 }));
    if (all) process.nextTick(found, null, list);
    else process.nextTick(found, null, list[0].address, list[0].family);
  };

const dial = (
  place: Place,
  port: number,
  addresses: readonly string[],
  more: object = {},
  asked?: boolean[],
): Socket =>
  place.client.connect({
    ...{ host: NAME, port, lookup: known(addresses, asked), autoSelectFamily: true },
    ...more,
  });

test('the first address refuses, the second is connected to, and every step is told', async place => {
  const server = await listening(place);
  const port = portOf(server);
  const s = dial(place, port, [place.host6, place.host]);
  const told = recorded(s, ATTEMPTS);
  const failed = heard<[string, number, number, Error]>(s, 'connectionAttemptFailed');
  await once(s, 'connect');
  assert.equal(told, [
    ...['lookup', 'lookup', 'connectionAttempt', 'connectionAttemptFailed'],
    ...['connectionAttempt', 'connect'],
  ]);
  assert.equal((await failed).slice(0, 3), [place.host6, port, 6]);
  assert.is(s.remoteAddress, place.host);
  assert.equal(s.autoSelectFamilyAttemptedAddresses, [`${place.host6}:${port}`, `${place.host}:${port}`]);
  await finish(server, s);
});

test('none is connected to: an AggregateError with the first one’s code and the errors of all', async place => {
  const server = await listening(place);
  const port = portOf(server);
  await finish(server);
  const e = (await errorOf(dial(place, port, [place.host6, place.host]))) as NodeJS.ErrnoException & {
    errors: NodeJS.ErrnoException[];
  };
  assert.is(e.constructor.name, 'AggregateError');
  assert.is(e.errors.length, 2);
  assert.equal([e.code, e.errors[1].code], [e.errors[0].code, 'ECONNREFUSED']);
  assert.equal(
    e.errors.map(x => (x as unknown as { address: string }).address),
    [place.host6, place.host],
  );
});

engineOnly('families take turns, the first address’s first', async place => {
  const server = await listening(place);
  const port = portOf(server);
  await finish(server);
  const s = dial(place, port, [place.host, place.host, place.host6]);
  const tried: number[] = [];
  s.on('connectionAttempt', (_address: string, _port: number, family: number) => tried.push(family));
  await errorOf(s);
  assert.equal(tried, [4, 6, 4]);
});

test('autoSelectFamily: false, a family or an own address: one address is asked for, and its error is the socket’s', async place => {
  const server = await listening(place);
  const port = portOf(server);
  await finish(server);
  for (const more of [{ autoSelectFamily: false }, { family: 4 }, { localAddress: place.from }]) {
    const asked: boolean[] = [];
    const e = await errorOf(dial(place, port, [place.host, place.host6], more, asked));
    assert.equal([e.code, e.constructor.name, asked], ['ECONNREFUSED', 'Error', [false]]);
  }
});

test('one address that is known is one attempt; an answer that is no address is refused', async place => {
  const server = await listening(place);
  const one = dial(place, portOf(server), [place.host]);
  await once(one, 'connect');
  assert.is(one.autoSelectFamilyAttemptedAddresses, undefined);
  await finish(server, one);
  assert.is((await errorOf(dial(place, 1, ['elsewhere']))).code, 'ERR_INVALID_IP_ADDRESS');
});

test('destroyed between two attempts: there is no other', async place => {
  const server = await listening(place);
  const s = dial(place, portOf(server), [place.host6, place.host]);
  const told = recorded(s, ['connectionAttempt', 'connect', 'close']);
  s.on('connectionAttemptFailed', () => s.destroy());
  await heard(s, 'close');
  await new Promise(next => setTimeout(next, 20));
  assert.equal(told, ['connectionAttempt', 'close false']);
  await finish(server);
});

test('options of attempts that are none are refused', async ({ client, host }) => {
  const to = (more: object): string | undefined =>
    codeOf(() => client.connect({ host, port: 1, ...more } as never).on('error', () => {}));
  assert.is(to({ autoSelectFamily: 'yes' }), 'ERR_INVALID_ARG_TYPE');
  assert.is(to({ autoSelectFamily: true, autoSelectFamilyAttemptTimeout: 'x' }), 'ERR_INVALID_ARG_TYPE');
  for (const ms of [0, -1, 1.5])
    assert.is(to({ autoSelectFamily: true, autoSelectFamilyAttemptTimeout: ms }), 'ERR_OUT_OF_RANGE');
});

engineOnly(
  'an address that is silent is given up after its time, and the next one is connected to',
  async place => {
    const server = await listening(place);
    const s = dial(place, portOf(server), ['10.0.0.77', place.host], { autoSelectFamilyAttemptTimeout: 30 });
    const told = recorded(s, ATTEMPTS.slice(1));
    await once(s, 'connect');
    assert.equal(told, ['connectionAttempt', 'connectionAttemptTimeout', 'connectionAttempt', 'connect']);
    assert.is(s.remoteAddress, place.host);
    await finish(server, s);
  },
);

engineOnly('IPv6: connected, and both ends say so', async place => {
  const server = place.server.createServer(s => s.end('six')).listen(0, place.host6);
  await once(server, 'listening');
  const s = place.client.connect(portOf(server), place.host6);
  await once(s, 'connect');
  assert.equal([s.remoteFamily, s.remoteAddress, s.localFamily], ['IPv6', place.host6, 'IPv6']);
  assert.is(String(await gather(s)), 'six');
  await finish(server, s);
});

engineOnly('blockList: ERR_IP_BLOCKED here; a server closes whom it lists, and tells nobody', async place => {
  const blockList = new BlockList();
  blockList.addSubnet('10.0.0.0', 24);
  const e = await errorOf(place.client.connect({ host: place.host, port: 1, blockList } as object as never));
  assert.equal([e.code, e.message], ['ERR_IP_BLOCKED', `IP(${place.host}) is blocked by net.BlockList`]);
  let taken = 0;
  const server = await listening(place, { blockList } as object, () => taken++);
  const s = place.client.connect(portOf(server), place.host).on('error', () => {});
  await heard(s.resume(), 'close');
  assert.is(taken, 0);
  assert.is(
    codeOf(() => place.server.createServer({ blockList: [] } as object)),
    'ERR_INVALID_ARG_TYPE',
  );
  await finish(server);
});

test('diagnostics_channel tells of every socket that is made, at either end', async place => {
  const prefix = place.name === 'node' ? 'net' : 'etherloom';
  const told: [string, Socket][] = [];
  const ends = ['client', 'server'].map(name => {
    const at = channel(`${prefix}.${name}.socket`);
    const hear = (message: unknown): unknown => told.push([name, (message as { socket: Socket }).socket]);
    at.subscribe(hear);
    return () => at.unsubscribe(hear);
  });
  const server = await listening(place);
  const s = place.client.connect(portOf(server), place.host);
  const [far] = await heard<[Socket]>(server, 'connection');
  for (const off of ends) off();
  assert.equal(
    told.map(([name]) => name),
    ['client', 'server'],
  );
  assert.ok(told[0][1] === s && told[1][1] === far);
  await finish(server, s, far);
});

engineOnly('addresses of either family reach a server that listens at any', async place => {
  const { server: stack } = await stacks();
  const server = stack.createServer(s => s.end(s.remoteFamily)).listen(0) as unknown as Server;
  await once(server, 'listening');
  for (const [host, family] of [
    [place.host, 'IPv4'],
    [place.host6, 'IPv6'],
  ])
    assert.is(String(await gather(place.client.connect(portOf(server), host))), family);
  await finish(server);
});

end();
