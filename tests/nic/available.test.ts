/** Which NICs can be opened is said in words, before anybody tries. */
import { spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { refused } from '../../host/nic/af_xdp/errors.js';
import { nicAvailable } from '../../host/nic/index.js';
import { ip, linkName, missingNamespaces, missingTun } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';
import { missingTool } from '../support/tools.js';
import { Veth } from '../support/veth.js';
import { missing } from './af_xdp/rig.js';

const test = suite('nic: availability');
const MODULE = fileURLToPath(new URL('../../host/nic/index.ts', import.meta.url));
const ENGINE = fileURLToPath(new URL('../../host/engine/engine.ts', import.meta.url));
const none = { ok: false, reason: 'native addon not built: run npm run build:native' } as const;

/** Runs a script as somebody with fewer rights. */
function as(rights: string[], body: string): string {
  const script = `import { nicAvailable, afXdp, tap } from '${MODULE}'; import { Engine } from '${ENGINE}'; ${body}`;
  const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', script];
  const { stdout, stderr } = spawnSync('setpriv', [...rights, ...node], { encoding: 'utf8' });
  return stdout || stderr;
}

test('without the addon the kernel stays out of reach, but for descriptors that were inherited', () => {
  assert.equal(nicAvailable('af_xdp', none), none);
  assert.equal(nicAvailable('model', none), { ok: true });
  const tap = nicAvailable('tap', none);
  if (tap.ok) assert.match(tap.note ?? '', /inherited descriptors only.*build:native/);
  else assert.match(tap.reason, /\/dev\/net\/tun/);
});

test('too many open files are said with the way out', () => {
  const { code, message } = refused('eth0', 'socket', -constants.errno.EMFILE);
  assert.is(code, 'ERR_NIC_EMFILE');
  assert.match(message, /eth0: AF_XDP socket refused: .*open no more files.*ulimit -n/);
});

test(
  'root has AF_XDP; nobody is told what is lacking',
  () => {
    assert.equal(nicAvailable('af_xdp'), { ok: true });
    const out = as(
      ['--reuid', '65534', '--regid', '65534', '--clear-groups'],
      'console.log(nicAvailable("af_xdp").reason)',
    );
    assert.match(out, /needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN/);
    const raw = as(
      ['--bounding-set', '-net_raw', '--inh-caps', '-net_raw'],
      'console.log(nicAvailable("af_xdp").reason)',
    );
    assert.match(raw, /not permitted \(EPERM\): needs root, or CAP_NET_RAW/);
  },
  { missing: missing ?? missingNamespaces ?? missingTool('setpriv') },
);

test(
  'with every right but CAP_PERFMON neither AF_XDP nor the kernel is said to be there, and it is named',
  () => {
    // CAP_SYS_ADMIN stands for it.
    const rights = ['--bounding-set', '-perfmon,-sys_admin', '--inh-caps', '-perfmon,-sys_admin'];
    const said = as(rights, 'console.log(nicAvailable("af_xdp").reason)');
    assert.match(said, /without CAP_PERFMON its verifier says: .*pointer/);
  },
  { missing: missing ?? missingTool('setpriv') },
);

test(
  'without CAP_NET_ADMIN a TAP is said to be joined only, and so it is; with it nothing is said',
  () => {
    assert.equal(nicAvailable('tap'), { ok: true });
    const name = linkName('tap');
    ip('tuntap', 'add', name, 'mode', 'tap');
    try {
      const rights = ['--bounding-set', '-net_admin', '--inh-caps', '-net_admin'];
      assert.match(as(rights, 'console.log(nicAvailable("tap").note)'), /exist.*needs CAP_NET_ADMIN/);
      const open = (to: string) =>
        as(
          rights,
          `try { const e = await Engine.create({ nics: [tap({ name: '${to}' })], frames: 256, mapBytes: 4096 });
             console.log('opened'); await e.stop(); }
           catch (error) { console.log(error.code, error.message); }`,
        ).trim();
      assert.is(open(name), 'opened');
      assert.match(open(linkName('no')), /ERR_NIC_UNAVAILABLE.*not permitted.*CAP_NET_ADMIN/);
    } finally {
      ip('link', 'delete', name);
    }
  },
  { missing: missing ?? missingTun ?? missingTool('setpriv') },
);

test(
  'a packet area that may not be locked is refused with the ways out',
  async () => {
    const veth = await Veth.create();
    try {
      const options = { interface: veth.nearLink, namespace: veth.near.name, own: true };
      const out = as(
        ['--bounding-set', '-ipc_lock', '--inh-caps', '-ipc_lock', 'prlimit', '--memlock=8388608'],
        `try { await Engine.create({ nics: [afXdp(${JSON.stringify(options)})], frames: 16384 }); }
         catch (error) { console.log(error.code, error.message); }`,
      );
      assert.match(out, /^ERR_NIC_ENOBUFS .*larger than this user may lock.*ulimit -l.*fewer frames/);
    } finally {
      veth.close();
    }
  },
  { missing: missing ?? missingTool('setpriv') },
);
