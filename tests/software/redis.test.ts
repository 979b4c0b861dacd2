/** ioredis, as it comes, through a stack: with a real Redis at the other end of AF_XDP. */
import { once } from 'node:events';
import { AbstractConnector, Redis } from 'ioredis';
import { pattern, sha } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { type Daemon, KernelHost, missingDaemon } from './kernel_host.js';

const test = suite('software: ioredis and Redis');
const needs = { missing: missingDaemon('redis-server') };
const PORT = 6379;

let host: KernelHost;
let redis: Daemon;

const startRedis = (): Promise<Daemon> => {
  const quiet = ['--save', '', '--appendonly', 'no', '--protected-mode', 'no', '--maxmemory', '256mb'];
  const place = ['--port', `${PORT}`, '--bind', '0.0.0.0', '::', '--dir', host.folder.path];
  return host.start(/Ready to accept connections/, 'redis-server', ...place, ...quiet);
};

/** A client whose connections are the stack's: what ioredis offers for that. */
function client(options: object = {}): Redis {
  class Connector extends AbstractConnector {
    constructor(readonly options: { host: string; port: number; disconnectTimeout: number }) {
      super(options.disconnectTimeout);
    }
    async connect(): Promise<never> {
      this.connecting = true;
      const { host: address, port } = this.options;
      this.stream = host.stack.net.connect({ host: address, port }) as never;
      return this.stream as never;
    }
  }
  return new Redis({ host: host.address, port: PORT, Connector: Connector as never, ...options });
}

/** Does something with a client, and quits. */
async function withClient(work: (r: Redis) => Promise<void>, options: object = {}): Promise<void> {
  const r = client(options);
  try {
    await work(r);
  } finally {
    const end = r.status === 'end' ? undefined : once(r, 'end');
    r.disconnect();
    await end;
  }
}

test(
  'Redis runs as nobody in a namespace, and answers a PING through the stack',
  async () => {
    host = await KernelHost.open();
    redis = await startRedis();
    await withClient(async r => assert.is(await r.ping(), 'PONG'));
  },
  { ...needs, timeoutMs: 40_000 },
);

test(
  'values of every kind come back as they were: text, bytes, hashes, lists, an error by its name',
  () =>
    withClient(async r => {
      const bytes = Buffer.from(pattern(3_000_000, 5));
      assert.is(await r.set('text', 'žluťoučký kůň\r\n'), 'OK');
      assert.is(await r.get('text'), 'žluťoučký kůň\r\n');
      await r.set('bytes', bytes);
      assert.is(sha((await r.getBuffer('bytes'))!), sha(bytes));
      await r.hset('hash', { a: '1', b: '2' });
      assert.equal(await r.hgetall('hash'), { a: '1', b: '2' });
      await r.rpush('list', ...Array.from({ length: 1000 }, (_, i) => i));
      assert.equal(await r.lrange('list', -2, -1), ['998', '999']);
      const wrong = await r.incr('list').catch((e: Error) => e.message);
      assert.is(wrong, 'WRONGTYPE Operation against a key holding the wrong kind of value');
    }),
  needs,
);

test(
  'ten thousand commands in one pipeline, and a transaction: every answer in its place',
  () =>
    withClient(async r => {
      const pipeline = r.pipeline();
      for (let i = 0; i < 5000; i++) pipeline.set(`k${i}`, `v${i}`).get(`k${i}`);
      const answers = (await pipeline.exec())!;
      assert.is(answers.length, 10_000);
      for (let i = 0; i < 5000; i++) assert.equal(answers[2 * i + 1], [null, `v${i}`]);
      const all = await r.multi().incr('n').incr('n').get('n').exec();
      assert.equal(all, [
        [null, 1],
        [null, 2],
        [null, '2'],
      ]);
    }),
  needs,
);

test(
  'publish and subscribe, and a list that is waited for: what others send arrives unasked',
  () =>
    withClient(hears =>
      withClient(async says => {
        await hears.subscribe('news');
        const heard = once(hears, 'message');
        assert.is(await says.publish('news', 'today'), 1);
        assert.equal(await heard, ['news', 'today']);
        await withClient(async waits => {
          const popped = waits.blpop('queue', 5);
          await says.rpush('queue', 'job');
          assert.equal(await popped, ['queue', 'job']);
        });
      }),
    ),
  needs,
);

test(
  'fifty clients at a time, each with its own name, over IPv4 and IPv6',
  async () => {
    const names = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        let name: unknown;
        const options = { connectionName: `c${i}`, ...(i % 2 ? { host: host.address6 } : {}) };
        await withClient(async r => {
          name = await r.call('CLIENT', 'GETNAME');
        }, options);
        return name;
      }),
    );
    assert.equal(
      names,
      Array.from({ length: 50 }, (_, i) => `c${i}`),
    );
  },
  needs,
);

test(
  'a connection that the server kills is made again, and commands that waited are answered',
  () =>
    withClient(async r => {
      const id = await r.client('ID');
      const closed = once(r, 'close');
      await withClient(async other => assert.is(await other.call('CLIENT', 'KILL', 'ID', id), 1));
      await closed;
      assert.is(await r.echo('again'), 'again');
      assert.not.equal(await r.client('ID'), id);
    }),
  needs,
);

test(
  'a server that dies: the client hears close; one that is not there: ECONNREFUSED with its address; back again: it goes on',
  () =>
    withClient(
      async r => {
        await r.set('before', '1');
        const errors: NodeJS.ErrnoException[] = [];
        r.on('error', e => errors.push(e));
        const closed = once(r, 'close');
        await redis.end('SIGKILL');
        await closed;
        while (!errors.some(e => e.code === 'ECONNREFUSED')) await once(r, 'error');
        const { syscall, message } = errors.find(e => e.code === 'ECONNREFUSED')!;
        assert.equal([syscall, message], ['connect', `connect ECONNREFUSED ${host.address}:${PORT}`]);
        redis = await startRedis();
        assert.is(await r.get('before'), null);
      },
      { retryStrategy: () => 20, maxRetriesPerRequest: null },
    ),
  { ...needs, timeoutMs: 40_000 },
);

test(
  'afterwards no connection is open, no stream and no frame is lost, and nothing runs',
  () => host.close(),
  needs,
);
