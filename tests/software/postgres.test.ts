/** pg, as it comes, through a stack: with a real PostgreSQL at the other end of AF_XDP. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { heard } from '../sockets/pairs.js';
import { pattern, sha } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { type Daemon, KernelHost, missingDaemon } from './kernel_host.js';

const test = suite('software: pg and PostgreSQL');
const needs = { missing: missingDaemon('initdb', 'postgres') };
const fixture = (name: string): Buffer => readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url));
const PORT = 5432;
const PASSWORD = 'a long one';
const ROLE = { user: 'weaver', password: PASSWORD, database: 'postgres' };

let host: KernelHost;
let server: Daemon;

/** Makes the cluster: no disk is waited for, everybody needs the password. */
async function makeCluster(): Promise<void> {
  const { folder } = host;
  const password = folder.file('password', PASSWORD);
  const kind = ['--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--no-sync'];
  await host.run('initdb', '-D', 'data', '-U', ROLE.user, `--pwfile=${password}`, ...kind);
  folder.file('data/pg_hba.conf', 'host all all all scram-sha-256\n');
  folder.file('data/server.key', fixture('key.pem'));
  folder.file('data/server.crt', fixture('cert.pem'));
}

const startPostgres = (): Promise<Daemon> => {
  const settings = {
    ...{ listen_addresses: '*', port: PORT, unix_socket_directories: host.folder.path, ssl: 'on' },
    ...{ fsync: 'off', max_connections: 20, shared_buffers: '16MB', autovacuum: 'off' },
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return host.start(/ready to accept connections/, 'postgres', '-D', join(host.folder.path, 'data'), ...args);
};

/** pg makes its connections of what `stream` gives, and calls connect on it. */
const config = (): pg.ClientConfig => ({
  ...{ ...ROLE, host: host.address, port: PORT },
  stream: () => new host.stack.net.Socket(),
});

async function withClient(work: (c: pg.Client) => Promise<void>, more: pg.ClientConfig = {}): Promise<void> {
  const c = new pg.Client({ ...config(), ...more });
  await c.connect();
  try {
    await work(c);
  } finally {
    await c.end();
  }
}

/** The error of something that must not succeed. */
const failure = (work: Promise<unknown>): Promise<pg.DatabaseError & NodeJS.ErrnoException> =>
  work.then(
    () => assert.unreachable('it succeeded') as never,
    (e: pg.DatabaseError & NodeJS.ErrnoException) => e,
  );

test(
  'PostgreSQL runs as nobody in a namespace, and knows where the connection comes from',
  async () => {
    host = await KernelHost.open();
    await makeCluster();
    server = await startPostgres();
    await withClient(async c => {
      const { rows } = await c.query('select host(inet_client_addr()) as address, 6 * 7 as answer');
      assert.equal(rows, [{ address: host.own, answer: 42 }]);
    });
  },
  { ...needs, timeoutMs: 60_000 },
);

test(
  'values of every kind there and back, four megabytes of bytes, and a hundred thousand rows',
  () =>
    withClient(async c => {
      const bytes = Buffer.from(pattern(4_000_000, 3));
      const given = [7, 'žluť', null, true, { a: [1, 2] }, [1, 2, 3], bytes];
      const casts = ['int', 'text', 'text', 'bool', 'jsonb', 'int[]', 'bytea'];
      const columns = casts.map((type, i) => `$${i + 1}::${type} as c${i}`).join(', ');
      const { rows } = await c.query(`select ${columns}`, given);
      assert.equal(Object.values(rows[0]).slice(0, 6), given.slice(0, 6));
      assert.is(sha(rows[0].c6), sha(bytes));
      const many = await c.query({
        text: 'select g, g * 2 from generate_series(1, 100000) g',
        rowMode: 'array',
      });
      assert.is(many.rows.length, 100_000);
      assert.ok(many.rows.every(([g, twice], i) => g === i + 1 && twice === 2 * g));
    }),
  needs,
);

test(
  'an error has its SQLSTATE, what was done before it is rolled back, and the connection goes on',
  () =>
    withClient(async c => {
      await c.query('create table t (id int primary key)');
      await c.query('begin');
      await c.query('insert into t values (1)');
      const e = await failure(c.query('insert into t values (1)'));
      assert.equal([e.code, e.detail, e.table], ['23505', 'Key (id)=(1) already exists.', 't']);
      await c.query('rollback');
      assert.equal((await c.query('select count(*)::int as n from t')).rows, [{ n: 0 }]);
    }),
  needs,
);

test(
  'a pool of eight connections answers four hundred questions, each with its own answer',
  async () => {
    const pool = new pg.Pool({ ...config(), max: 8 });
    const asked = Array.from({ length: 400 }, (_, i) => i);
    const told = await Promise.all(
      asked.map(async i => {
        const { rows } = await pool.query('select $1::int as i, pg_backend_pid() as pid', [i]);
        return rows[0] as { i: number; pid: number };
      }),
    );
    assert.equal(
      told.map(({ i }) => i),
      asked,
    );
    assert.is(new Set(told.map(({ pid }) => pid)).size, 8);
    await pool.end();
  },
  needs,
);

test(
  'LISTEN and NOTIFY: what another client says arrives unasked',
  () =>
    withClient(hears =>
      withClient(async says => {
        await hears.query('listen news');
        const heard = once(hears, 'notification') as Promise<[pg.Notification]>;
        await says.query(`notify news, 'today'`);
        const [{ channel, payload }] = await heard;
        assert.equal([channel, payload], ['news', 'today']);
      }),
    ),
  needs,
);

test(
  'inside TLS, begun in the middle of the connection: the server says so, and is known by name',
  () =>
    withClient(
      async c => {
        const { rows } = await c.query('select ssl, version from pg_stat_ssl where pid = pg_backend_pid()');
        assert.equal(rows, [{ ssl: true, version: 'TLSv1.3' }]);
        const bytes = Buffer.from(pattern(1_000_000, 4));
        const back = await c.query('select $1::bytea as b', [bytes]);
        assert.is(sha(back.rows[0].b), sha(bytes));
      },
      { ssl: { ca: fixture('cert.pem'), servername: 'peer.test' } },
    ),
  needs,
);

test(
  'a wrong password is refused by name; a certificate that nobody vouches for ends the connection',
  async () => {
    const refused = async (more: pg.ClientConfig): Promise<string | undefined> =>
      (await failure(new pg.Client({ ...config(), ...more }).connect())).code;
    assert.is(await refused({ password: 'a short one' }), '28P01');
    assert.is(await refused({ ssl: { servername: 'peer.test' } }), 'DEPTH_ZERO_SELF_SIGNED_CERT');
  },
  needs,
);

test(
  'a question that takes too long is cancelled over another connection',
  () =>
    withClient(async c => {
      const { processID } = c as unknown as { processID: number };
      const slow = failure(c.query('select pg_sleep(30)'));
      await withClient(async other => {
        const running = `select 1 from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'`;
        while (!(await other.query(running, [processID])).rowCount);
        await other.query('select pg_cancel_backend($1)', [processID]);
      });
      assert.is((await slow).code, '57014');
      assert.equal((await c.query('select 1 as one')).rows, [{ one: 1 }]);
    }),
  needs,
);

test(
  'a server that is stopped in the middle: the question fails by name, and nobody is there afterwards',
  async () => {
    const c = new pg.Client(config());
    await c.connect();
    const told: NodeJS.ErrnoException[] = [];
    c.on('error', e => told.push(e));
    const ended = heard(c, 'end');
    await server.end('SIGINT');
    await ended;
    // First what the server said, then that it ended.
    assert.equal([told[0].code, told[1].message], ['57P01', 'Connection terminated unexpectedly']);
    const e = await failure(new pg.Client(config()).connect());
    assert.equal([e.code, e.syscall], ['ECONNREFUSED', 'connect']);
  },
  needs,
);

test(
  'afterwards no connection is open, no stream and no frame is lost, and nothing runs',
  () => host.close(),
  needs,
);
