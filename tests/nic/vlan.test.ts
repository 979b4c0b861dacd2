/** VLAN tags through AF_XDP and TAP: frames that are made here, and those of kernels that have 802.1Q. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../host/engine/engine.js';
import { native } from '../../host/native/load.js';
import { afXdp, readCapture, TapNic } from '../../host/nic/index.js';
import type { Nic } from '../../host/nic/nic.js';
import { ip, linkName, missingNamespaces, missingTun, Namespace } from '../support/netns.js';
import { PacketSocket } from '../support/packet_socket.js';
import { packet, read } from '../support/packets.js';
import { handMade } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';
import { missingTool } from '../support/tools.js';
import { Veth } from '../support/veth.js';
import { missing as missingAfXdp, nicOptions, onVeth } from './af_xdp/rig.js';

const test = suite('nic: VLAN tags');
const addon = native();

/** Why the kernel has no VLANs of its own; undefined when it has. */
function lacks8021q(): string | undefined {
  if (missingNamespaces) return undefined;
  const ns = new Namespace('vlan');
  try {
    ns.ip('link', 'add', 'link', 'lo', 'name', 'lo.7', 'type', 'vlan', 'id', '7');
    return undefined;
  } catch (error) {
    // lo itself takes none; a kernel without 802.1Q does not know the type.
    return /Unknown device type/.test((error as Error).message) ? 'this kernel has no 802.1Q' : undefined;
  } finally {
    ns.close();
  }
}
const kernelLacks = lacks8021q();

/** Tags, outermost first. */
const TAGS = [[5], [7, 9], []];

test(
  'AF_XDP: what is taken behind tags comes back behind the same, as a capture at the other end sees it',
  () =>
    onVeth({}, async ({ veth, nic }) => {
      const folder = mkdtempSync(join(tmpdir(), 'etherloom-vlan-'));
      try {
        const file = join(folder, 'far.pcapng');
        const port = 30_007;
        const limits = ['-c', '30', '-a', 'duration:10'];
        const filter = `udp port ${port} or vlan`;
        const capture = veth.far.run(
          'dumpcap',
          '-q',
          '-i',
          veth.farLink,
          '-f',
          filter,
          ...limits,
          '-w',
          file,
        );
        const wire = new PacketSocket(veth.far, veth.farLink);
        const frame = (vlans: number[]): Uint8Array =>
          packet({ dst: veth.nearAddress, sport: port, dport: 7, protocol: 'udp', vlans });
        // The capture has begun when it sees them: until then they are sent again.
        let sent = 0;
        const sending = setInterval(() => {
          for (const vlans of TAGS) wire.send(frame(vlans));
          sent += TAGS.length;
        }, 50);
        const { code, err } = await capture;
        clearInterval(sending);
        wire.close();
        assert.is(code, 0, err);
        const back = [...readCapture(file)].map(p => read(p.data)).filter(seen => seen.sport === 7);
        for (const vlans of TAGS) {
          const seen = back.find(s => JSON.stringify(s.vlans) === JSON.stringify(vlans));
          assert.ok(seen, `none behind ${JSON.stringify(vlans)}`);
          assert.equal([seen.src, seen.dport, seen.sound], [veth.nearAddress, port, true]);
        }
        assert.is(nic.seen.taken, sent, 'all of them were taken');
      } finally {
        rmSync(folder, { recursive: true });
      }
    }).then(() => {}),
  { missing: missingAfXdp ?? missingTool('dumpcap') },
);

/** Sends everything out of the other of ports 1 and 2. */
const cross = handMade(
  `(call $redirect_set (i32.const 1) (i32.sub (i32.const 3) (i32.load offset=12 (local.get 0))) (i32.const 0) (i32.const 0) (i64.const 0))
   i64.const 4`,
  { helpers: { redirect_set: '(param i32 i32 i32 i32 i64)' } },
);

/** Two kernels whose links an engine joins, each with VLAN 7 and in it VLAN 9, reach each other there. */
async function joined(
  nics: readonly Nic[],
  ends: () => readonly { ns: Namespace; link: string }[],
): Promise<void> {
  const engine = await Engine.create({ nics: [...nics], frames: 2048, mapBytes: 1 << 16 });
  try {
    for (const nic of nics) engine.attach(await engine.load(cross), nic.name);
    await engine.start();
    const [left] = ends().map(({ ns, link }, i) => {
      ns.ip('link', 'add', 'link', link, 'name', 'v7', 'type', 'vlan', 'id', '7');
      ns.ip('link', 'add', 'link', 'v7', 'name', 'v79', 'type', 'vlan', 'id', '9');
      ns.configure('v7', `10.7.0.${i + 1}/24`);
      ns.configure('v79', `10.79.0.${i + 1}/24`);
      return ns;
    });
    for (const address of ['10.7.0.2', '10.79.0.2'])
      assert.is((await left.ping(address, '-c', '5')).received, 5, address);
  } finally {
    const { ledger } = await engine.stop();
    assert.equal([ledger.lost, ledger.doubled], [0, 0]);
  }
}

test(
  'AF_XDP: two kernels ping each other in a VLAN, and in one inside it',
  async () => {
    const veths = [await Veth.create(), await Veth.create()];
    try {
      // Left to hardware, a tag is not in the frame.
      for (const { far, farLink } of veths) await far.run('ethtool', '-K', farLink, 'txvlan', 'off');
      await joined(
        veths.map(v => afXdp(nicOptions(v, { own: true }))),
        () => veths.map(v => ({ ns: v.far, link: v.farLink })),
      );
    } finally {
      for (const v of veths) v.close();
    }
  },
  { missing: missingAfXdp, kernelLacks },
);

test(
  'TAP: two kernels ping each other in a VLAN, and in one inside it',
  async () => {
    const nics = ['tap', 'tap'].map(kind => new TapNic('tap', { name: linkName(kind) }));
    const sides = nics.map(() => new Namespace('vlan'));
    try {
      await joined(nics, () =>
        nics.map(({ name }, i) => {
          ip('link', 'set', name, 'netns', sides[i].name);
          sides[i].ip('link', 'set', name, 'up');
          return { ns: sides[i], link: name };
        }),
      );
    } finally {
      for (const ns of sides) ns.close();
    }
  },
  { missing: missingTun ?? (addon.ok ? undefined : addon.reason), kernelLacks },
);
