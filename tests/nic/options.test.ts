/** What a NIC by name is told is looked at before anything is opened: no addon and no right is needed to hear of it. */
import { Arena } from '../../host/mem/arena.js';
import { KernelRing } from '../../host/nic/af_xdp/rings.js';
import { type AfXdpOptions, afXdp, type TapOptions, tap, tun } from '../../host/nic/index.js';
import { isInterfaceName } from '../../host/nic/interface_name.js';
import { assert, suite } from '../support/suite.js';

const test = suite('nic: options');

/** Refused by ERR_NIC_OPTIONS, or the code given, in these words. */
function refused(what: () => unknown, words: RegExp, code = 'ERR_NIC_OPTIONS'): void {
  try {
    what();
  } catch (error) {
    const { code: found, message } = error as { code?: string; message: string };
    assert.equal([found, words.test(message)], [code, true], message);
    return;
  }
  assert.unreachable(`${words}: it was taken`);
}

test('a name is what the kernel takes for one: 15 bytes, not characters, and no pattern', () => {
  for (const good of ['lo', 'a', 'enp0s31f6.100', 'x'.repeat(15), 'br-lan@2', 'ééééééé'])
    assert.ok(isInterfaceName(good), good);
  for (const bad of [
    '',
    '.',
    '..',
    'x'.repeat(16),
    'éééééééé',
    'a b',
    'a\tb',
    'a/b',
    'a:b',
    'x%d',
    'a\0b',
    7,
    null,
  ])
    assert.not(isInterfaceName(bad), String(bad));
});

for (const [make, kind] of [
  [tap, 'tap'],
  [tun, 'tun'],
] as const)
  test(`${kind}: name, descriptors, queues, MTU and address are refused by their names`, () => {
    const given = (options: unknown) => () => make(options as TapOptions);
    for (const name of ['', 'x%d', 'a\0b', 'a-name-of-16-byte', 'éééééééé', 7])
      refused(given({ name }), new RegExp(`^${kind}: option name: .*1 to 15 bytes`));
    for (const fd of [[], [3, 3], -1, '3', [3, 4.5]])
      refused(given({ fd }), new RegExp(`^${kind}: option fd: .*each once`));
    for (const mtu of [-1, 67, 1e9, 1400.5, '1400'])
      refused(given({ name: 'x', mtu }), /option mtu: .*68 to 65535/);
    for (const queues of [0, 65, 1e9]) refused(given({ name: 'x', queues }), /option queues: .*1 to 64/);
    for (const mac of ['ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00', '01:00:5e:00:00:01', 'here', 5])
      refused(given({ name: 'x', mac }), /option mac: .*one station/);
    refused(given({}), /neither/);
    refused(given({ name: 'x', fd: 3 }), /both/);
    refused(given(undefined), /options that are undefined/);
    assert.is(make({ name: 'x', mtu: 1400, queues: 2, mac: '02:00:00:00:00:07' }).name, 'x');
  });

test('af_xdp: interface, mode, rules and the like are refused by their names', () => {
  const given = (options: unknown) => () => afXdp(options as AfXdpOptions);
  for (const name of ['', 'a\0b', 'x'.repeat(5000), 5, null])
    refused(given({ interface: name, own: true }), /^af_xdp: option interface: .*1 to 15 bytes/);
  refused(given({ own: true }), /without an interface/);
  const base = { interface: 'x', own: true };
  refused(given({ ...base, mode: 'offload' }), /option mode: "offload".*'native' or 'generic'/);
  refused(given({ ...base, own: 'yes' }), /option own: "yes".*true or false/);
  refused(given({ ...base, zeroCopy: 1 }), /option zeroCopy: 1/);
  refused(given({ ...base, namespace: 'a\0b' }), /option namespace: .*ip netns list/);
  refused(given({ ...base, queues: 65 }), /option queues: 65.*1 to 64/);
  refused(given({ ...base, name: '' }), /option name: ""/);
  refused(given({ interface: 'x', rules: 'tcp' }), /option rules: "tcp".*a list/);
  for (const rule of [null, 'tcp', 5])
    refused(given({ interface: 'x', rules: [rule] }), /no object/, 'ERR_NIC_RULE');
  for (const port of [null, '80', [80], [2, 1], {}])
    refused(given({ interface: 'x', rules: [{ protocol: 'tcp', port }] }), /port/, 'ERR_NIC_RULE');
  refused(given({ interface: 'x', rules: [{ address: 5 }] }), /address 5/, 'ERR_NIC_RULE');
  refused(given({ interface: 'x', rules: [{ protocol: 'toString' }] }), /protocol toString/, 'ERR_NIC_RULE');
  refused(given(null), /options that are null/);
  assert.is(afXdp({ ...base, mode: 'generic', queues: 1 }).name, 'x');
});

test('rings that the arena has no room for are refused by the options that would help', () => {
  const arena = Arena.create({ frames: 16, mapBytes: 4096, ringBytes: 1 << 16 });
  const offsets = { producer: 0, consumer: 64, flags: 128, entries: 192 };
  refused(
    () => KernelRing.create(arena, 'rx', 1 << 19, offsets),
    /for rx ring of 524288 entries \(ringSlots of the NIC\) in the rings region.*\(ringBytes\)/,
    'ERR_ARENA_FULL',
  );
});
