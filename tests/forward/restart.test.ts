/**
 * Source ports that a backend still holds in TIME_WAIT: a chain that was restarted knows nothing of them, and gets by
 * because each of a client's ports leads to the same source port again. Linux's TCP at both ends.
 */
import { spawnSync } from 'node:child_process';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { missingNamespaces } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';
import { Peers, SERVER_PORT } from './peers.js';
import { BACKEND, BACKEND6, FRONT } from './rig.js';

const test = suite('forward: restarts');
const kernel = kernelAvailable();
const tool = (name: string): string | undefined =>
  spawnSync(name, ['--version'], { stdio: 'ignore' }).error ? `${name} is not installed` : undefined;
const missing =
  missingNamespaces ?? (kernel.ok ? undefined : kernel.reason) ?? tool('curl') ?? tool('ethtool');

const CONNECTIONS = 300;
/** 320 even ports, from which Linux connects: the second 300 connections come from ports of the first. */
const CLIENT_PORTS = '40000 40639';
/** Slots, of which 300 connections take more than half, whichever they are. */
const FLOWS = '512';
const HOPS = [SERVER_PORT - 2, SERVER_PORT - 1];
/** What a TIME_WAIT that does not let a SYN in leaves behind: each costs the client a second. */
const BAD = ['TcpOutRsts', 'TcpEstabResets', 'TcpExtTCPSynRetrans'];

/** Connections one after another, which the server closes, so that it is the one to remember them. */
async function connect(peers: Peers, host: string): Promise<void> {
  const curl = await peers.client.run(
    ...(['curl', '-sS', '--max-time', '30', '-o', '/dev/null', '-w', '%{http_code}\n'] as const),
    ...['--http1.0', `http://${host}:${HOPS[0]}/[1-${CONNECTIONS}]`],
  );
  assert.is(curl.out.match(/^200$/gm)?.length, CONNECTIONS, `${host}: ${curl.err.slice(0, 200)}`);
}

for (const engine of ['kernel', 'etherloom'])
  test(
    `${engine}: a chain restarted on the same addresses: 300 connections before and after, no reset, no SYN twice`,
    async () => {
      const peers = new Peers();
      try {
        if (engine === 'kernel') await peers.takeRedirected();
        await peers.serve();
        await peers.client.run('sysctl', '-qw', `net.ipv4.ip_local_port_range=${CLIENT_PORTS}`);
        const before = await peers.snmp();
        for (let life = 0; life < 2; life++) {
          const chain = await peers.forward(
            ...['--ports', HOPS.join(','), '--flows', FLOWS, '--engine', engine, '--protocol', 'tcp'],
            ...['--backend', `${BACKEND}:${SERVER_PORT}`, '--backend', `[${BACKEND6}]:${SERVER_PORT}`],
          );
          await connect(peers, FRONT);
          if (life === 0) {
            const { out } = await peers.server.run('ss', '-Htn', 'state', 'time-wait');
            assert.ok(out.trim().split('\n').length > CONNECTIONS / 2, 'the server remembers them');
          }
          await chain.stop();
        }
        const after = await peers.snmp();
        for (const bad of BAD) assert.is((after[bad] ?? 0) - (before[bad] ?? 0), 0, bad);
      } finally {
        peers.close();
      }
    },
    { missing, timeoutMs: 60_000 },
  );
