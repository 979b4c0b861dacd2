/** OpenSSH at the other end of AF_XDP: its sshd with ssh2's client on our sockets, and its ssh with ssh2's server on them. */
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { gather } from '../sockets/pairs.js';
import { pattern, sha } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { KernelHost, missingDaemon } from './kernel_host.js';
import { makeServer, run } from './ssh_ends.js';
import { type Channel, missingSsh2, type Sftp, type SshClient, ssh2 } from './ssh2.js';

const test = suite('software: OpenSSH');
const needs = { missing: missingDaemon('sshd', 'ssh') ?? missingSsh2 };
const USER = 'root';

let host: KernelHost;
let hostKey: { private: string; public: string };
let ours: { private: string; public: string };

const CONFIG = (key: string, keys: string): string => `
Port 22
ListenAddress 0.0.0.0
ListenAddress ::
HostKey ${key}
AuthorizedKeysFile ${keys}
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
PidFile none
RekeyLimit 1M
MaxStartups 100
Subsystem sftp internal-sftp
`;

/** A client that is let in, over a socket of the stack. */
async function enter(address = host.address): Promise<SshClient> {
  const sock = host.stack.net.connect({ host: address, port: 22 });
  const c = new ssh2.Client();
  const ready = once(c, 'ready');
  const hostVerifier = (key: Buffer): boolean => hostKey.public.includes(key.toString('base64'));
  c.connect({ sock, username: USER, privateKey: ours.private, hostVerifier });
  await ready;
  return c;
}

/** Does something with a client; afterwards its socket is closed. */
const withClient = (work: (c: SshClient) => Promise<void>) => async (): Promise<void> => {
  const c = await enter();
  const closed = once(c, 'close');
  await work(c);
  c.end();
  await closed;
};

test(
  'sshd runs in a namespace, knows our key, and runs a command',
  async () => {
    host = await KernelHost.open();
    [hostKey, ours] = [0, 1].map(() => ssh2.utils.generateKeyPairSync('ed25519'));
    // Where it changes its root to, while it knows nobody yet.
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    const config = CONFIG(
      host.folder.file('host_key', hostKey.private),
      host.folder.file('keys', ours.public),
    );
    await host.startAsRoot(
      /Server listening on :: port 22/,
      'sshd',
      '-D',
      '-e',
      '-f',
      host.folder.file('config', config),
    );
    await withClient(async c => {
      const { out, err, code } = await run(c, 'echo out; echo err >&2; exit 7');
      assert.equal([String(out), err, code], ['out\n', 'err\n', 7]);
    })();
  },
  { ...needs, timeoutMs: 40_000 },
);

test(
  'five megabytes there and back come as they were, while keys are changed at each',
  withClient(async c => {
    const data = pattern(5_000_000, 3);
    const { out, code } = await run(c, 'cat', data);
    assert.equal([sha(out), code], [sha(data), 0]);
  }),
  needs,
);

test(
  'SFTP: a file written, listed, and read again',
  withClient(async c => {
    const sftp = await new Promise<Sftp>((done, fail) => c.sftp((e, s) => (e ? fail(e) : done(s))));
    const data = pattern(2_000_000, 4);
    const path = `${host.folder.path}/written`;
    await pipeline([data], sftp.createWriteStream(path));
    const names = await new Promise<string[]>((done, fail) =>
      sftp.readdir(host.folder.path, (e, list) => (e ? fail(e) : done(list.map(f => f.filename)))),
    );
    assert.ok(names.includes('written'), names.join(' '));
    const file = sftp.createReadStream(path);
    const closed = once(file, 'close'); // it asks the server for that behind its last byte
    assert.is(sha(await gather(file)), sha(data));
    await closed;
    sftp.end();
  }),
  needs,
);

test(
  'ten clients at a time, over IPv4 and IPv6, each with a forwarded connection of its own',
  async () => {
    await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        const c = await enter(i % 2 ? host.address6 : host.address);
        const closed = once(c, 'close');
        const channel = await new Promise<Channel>((done, fail) =>
          c.forwardOut('here', 1, host.address, 22, (e, ch) => (e ? fail(e) : done(ch))),
        );
        const [banner] = await once(channel, 'data');
        assert.match(String(banner), /^SSH-2\.0-OpenSSH/);
        channel.end();
        c.end();
        await closed;
      }),
    );
  },
  needs,
);

test(
  'ssh as a client of ssh2’s server on our sockets: three megabytes through a command, and the code of one that is not there',
  async () => {
    const server = makeServer(({ username }) => username === 'weaver');
    const listener = host.stack.net.createServer(s => server.injectSocket(s)).listen(0, host.own);
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    const trust =
      '-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR';
    const ssh = `ssh ${trust} -p ${port} weaver@${host.own}`;
    const out = await host.run(
      'sh',
      '-c',
      `head -c 3000000 /dev/urandom > sent && ${ssh} cat < sent | cmp - sent && echo same; ${ssh} weave; echo $?`,
    );
    assert.equal(out.split('\n').slice(0, 2), ['same', '127']);
    const closed = once(listener, 'close');
    listener.close();
    await closed;
  },
  needs,
);

test(
  'afterwards no connection is open, no stream and no frame is lost, and nothing runs',
  () => host.close(),
  needs,
);
