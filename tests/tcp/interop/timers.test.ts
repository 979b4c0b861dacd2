/** What time does between us and the kernel: keepalive, user timeouts and probes of closed windows, each from either end. */
import { createHash } from 'node:crypto';
import { assert, suite } from '../../support/suite.js';
import { Body } from './body.js';
import { missing } from './missing.js';
import { Session } from './session.js';

const test = suite('tcp: timers against the kernel');
const MB = 1_000_000;
const body = new Body(8 * MB);
process.once('exit', () => body.close());
const LIMIT = { missing, timeoutMs: 60_000 };

async function on(nic: 'af_xdp' | 'tun', work: (session: Session) => Promise<void>): Promise<void> {
  const session = await Session.open({ nic }, body);
  try {
    await work(session);
  } finally {
    await session.close();
  }
}

/** The kernel's end hears nothing of us any more. */
async function silence({ wire }: Session): Promise<void> {
  const table = `add table inet dead
    add chain inet dead input { type filter hook input priority 0; policy accept; }
    add rule inet dead input meta l4proto tcp drop`;
  const { code, err } = await wire.far.run('sh', '-c', `nft -f - <<'END'\n${table}\nEND`);
  assert.is(code, 0, err);
}

for (const nic of ['af_xdp', 'tun'] as const)
  test(
    `the kernel answers our keepalive probes, and its silence is found out (${nic})`,
    () =>
      on(nic, async session => {
        const { host } = session;
        const port = 7000;
        const options = { keepAlive: { idleMs: 300, intervalMs: 200, probes: 3 } };
        host.listen(port, options);
        // It keeps its end open as long as ours is.
        const told = session.wire.far.spawn('socat', '-u', `TCP:${session.wire.address()}:${port}`, 'STDOUT');
        const { tcp } = await host.accept();
        await host.tick(2000);
        assert.is(tcp.state, 'ESTABLISHED');
        const probes = host.counters().TCPKeepAlive;
        assert.ok(probes >= 4 && probes <= 8, `${probes} probes in 2 s`);
        await silence(session);
        const began = performance.now();
        while (!tcp.closed && performance.now() - began < 10_000) await host.tick(10);
        const ms = performance.now() - began;
        assert.is(tcp.error, 'ETIMEDOUT');
        // One that is under way, three without an answer, and what a busy machine takes.
        assert.ok(ms > 500 && ms < 4000, `${ms.toFixed(0)} ms`);
        told.kill('SIGKILL');
      }),
    LIMIT,
  );

test(
  'we answer the kernel’s keepalive probes; when we do not, it gives up',
  () =>
    on('af_xdp', async session => {
      const { host, wire } = session;
      const port = 7001;
      host.listen(port);
      const keep = 'keepalive,keepidle=1,keepintvl=1,keepcnt=2';
      const before = await wire.counts();
      const socat = wire.far.spawn('socat', '-u', `TCP:${wire.address()}:${port},${keep}`, 'STDOUT');
      let said = '';
      socat.stderr!.setEncoding('utf8').on('data', text => (said += text));
      let over = false;
      const ended = new Promise<void>(go =>
        socat.once('close', () => {
          over = true;
          go();
        }),
      );
      const { tcp } = await host.accept();
      await host.tick(3500);
      assert.not.ok(over, said);
      assert.is(tcp.state, 'ESTABLISHED');
      const probes = (await wire.counts()).rise(before, 'TCPKeepAlive');
      assert.ok(probes >= 2, `${probes} probes of the kernel`);
      await silence(session);
      const began = performance.now();
      await ended;
      assert.match(said, /timed out/);
      assert.ok(performance.now() - began < 8000);
    }),
  LIMIT,
);

test(
  'what the kernel does not acknowledge within the user timeout ends the connection',
  () =>
    on('af_xdp', async session => {
      const { host, wire } = session;
      const port = 7002;
      host.listen(port, { userTimeoutMs: 1000 });
      const socat = wire.far.spawn('socat', '-u', `TCP:${wire.address()}:${port}`, 'STDOUT');
      const connection = await host.accept();
      await connection.write(body.first(1000));
      while (connection.tcp.unacknowledged) await host.tick();
      await silence(session);
      const began = performance.now();
      await connection.write(body.first(1000));
      const { tcp } = connection;
      while (!tcp.closed && performance.now() - began < 10_000) await host.tick(10);
      const ms = performance.now() - began;
      assert.is(tcp.error, 'ETIMEDOUT');
      assert.ok(ms >= 950 && ms < 5000, `${ms.toFixed(0)} ms`);
      socat.kill('SIGKILL');
    }),
  LIMIT,
);

test(
  'a window that the kernel shuts is probed until it opens, and every byte arrives',
  () =>
    on('af_xdp', async session => {
      const bytes = 8 * MB;
      const before = session.host.counters().TCPWinProbe ?? 0;
      // Node reads nothing for two seconds: less fits its buffers.
      const { connection, done } = await session.meet('node', {
        role: 'server',
        ends: 'received',
        pauseMs: 2000,
      });
      await connection.write(body.first(bytes));
      connection.shutdown();
      const { sha, received, error } = await done;
      assert.equal([received, sha, error], [bytes, body.sha(bytes), undefined]);
      const probes = (session.host.counters().TCPWinProbe ?? 0) - before;
      assert.ok(probes >= 1 && probes <= 8, `${probes} probes`);
      connection.close();
      assert.is(await session.settled(), 0);
    }),
  LIMIT,
);

test(
  'a window that we shut is probed by the kernel until our application reads, and every byte arrives',
  () =>
    on('af_xdp', async session => {
      const bytes = 8 * MB;
      const { host, wire } = session;
      const before = await wire.counts();
      const file = body.file(bytes);
      const { connection, done } = await session.meet('node', { role: 'client', file });
      await host.tick(2000);
      const probes = (await wire.counts()).rise(before, 'TCPWinProbe');
      assert.ok(probes >= 1, `${probes} probes of the kernel`);
      const hash = createHash('sha256');
      const into = Buffer.alloc(1 << 18);
      let got = 0;
      for (let n = 1; n; got += n) {
        n = await connection.read(into);
        hash.update(into.subarray(0, n));
      }
      assert.equal([got, hash.digest('hex')], [bytes, body.sha(bytes)]);
      connection.shutdown();
      assert.is((await done).error, undefined);
      connection.close();
      assert.is(await session.settled(), 0);
    }),
  LIMIT,
);
