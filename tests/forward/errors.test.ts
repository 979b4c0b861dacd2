/**
 * ICMP errors about what a chain carries, from real kernels: they reach whom they concern although ICMP is left to the
 * kernel, over AF_XDP by rules as in the kernel itself.
 */
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { missingNamespaces } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';
import { missingTool } from '../support/tools.js';
import { Peers, SERVER_PORT } from './peers.js';
import { BACKEND, BACKEND6, FRONT, FRONT6 } from './rig.js';

const test = suite('forward: ICMP errors of real kernels');
const kernel = kernelAvailable();
const missing =
  missingNamespaces ??
  (kernel.ok ? undefined : kernel.reason) ??
  missingTool('curl') ??
  missingTool('ethtool');

const PORT = 7990;
const UPLOAD = 300_000;
/** Larger than IPv6 must carry, smaller than what Ethernet does. */
const SMALL_MTU = 1400;

/** A connected UDP socket's view of one datagram: the error's name, or "nothing" after 2 s. */
const DATAGRAM = `const s = require('node:dgram').createSocket(process.argv[1].includes(':') ? 'udp6' : 'udp4');
  const end = said => { console.log(said); process.exit(); };
  s.on('error', e => end(e.code)); s.on('message', () => end('answer'));
  s.connect(${PORT}, process.argv[1], () => s.send('x')); setTimeout(end, 2000, 'nothing');`;

for (const engine of ['kernel', 'etherloom'])
  test(
    `${engine}: a client hears that nobody listens at the backend, and pings and closed ports stay the host’s`,
    async () => {
      const peers = new Peers();
      try {
        if (engine === 'kernel') await peers.takeRedirected();
        const chain = await peers.forward(
          ...['--ports', `${PORT},${PORT + 1}`],
          ...['--backend', `${BACKEND}:${SERVER_PORT}`, '--backend', `[${BACKEND6}]:${SERVER_PORT}`],
          ...['--engine', engine],
        );
        for (const address of [FRONT, FRONT6]) {
          const { out, err } = await peers.client.run(process.execPath, '-e', DATAGRAM, address);
          assert.is(out.trim(), 'ECONNREFUSED', `${address}: ${err}`);
          assert.is((await peers.client.ping(address, '-c', '2')).received, 2, address);
        }
        const final = JSON.parse((await chain.stop()).trim().split('\n').at(-1)!);
        for (const hop of final.hops) assert.is(hop.counts.error.packets, 2);
      } finally {
        peers.close();
      }
    },
    { missing, timeoutMs: 60_000 },
  );

test(
  `over AF_XDP: an upload finds its way through a router with an MTU of ${SMALL_MTU}`,
  async () => {
    const peers = new Peers();
    try {
      const far = await peers.behindServer(SMALL_MTU);
      await peers.serve(SERVER_PORT, far);
      const chain = await peers.forward(
        ...['--ports', `${PORT}`, '--protocol', 'tcp'],
        ...['--backend', `10.2.0.1:${SERVER_PORT}`, '--backend', `[fd02::1]:${SERVER_PORT}`],
      );
      for (const host of [FRONT, `[${FRONT6}]`]) {
        const curl = `head -c ${UPLOAD} /dev/zero | curl -sS -g --max-time 10 --data-binary @- http://${host}:${PORT}/`;
        const { out, err } = await peers.client.run('sh', '-c', curl);
        assert.is(out, `${UPLOAD}`, `${host}: ${err}`);
      }
      const final = JSON.parse((await chain.stop()).trim().split('\n').at(-1)!);
      assert.ok(final.hops[0].counts.error.packets >= 2, 'the router had to say it');
    } finally {
      peers.close();
    }
  },
  { missing, timeoutMs: 60_000 },
);
