/** The table of program types: every row whole, and what other parts say by type agrees with it. */
import { helpers } from '../../../host/bpf/helpers.js';
import {
  contextView,
  hookRow,
  isRunnable,
  programTypeNamed,
  programTypeNames,
  programTypes,
  runnableTypes,
  sectionType,
} from '../../../host/bpf/program_types.js';
import { ctxAccess } from '../../../host/bpf/verify/ctx_access.js';
import { XdpContextView } from '../../../host/layout/layout.gen.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('bpf: program types');

test('a row is found by each of its names and numbers, and by no other', () => {
  for (const row of Object.values(programTypes)) {
    for (const name of [row.type, ...row.names, row.type.toUpperCase(), `BPF_PROG_TYPE_${row.type}`])
      assert.is(programTypeNamed(name), row.type, name);
    for (const number of row.numbers) assert.is(programTypeNamed(number), row.type);
  }
  for (const given of ['kprobe', '', 'constructor', 2, 99]) assert.is(programTypeNamed(given), undefined);
  const names = Object.values(programTypes).flatMap(r => [r.type, ...r.names]);
  assert.is(new Set(names).size, names.length, 'no name has two rows');
});

test('sections of libbpf, iproute2 and old samples have the type that those give them', () => {
  const cases: [string, string][] = [
    ['xdp', 'xdp'],
    ['xdp.frags/devmap', 'xdp'],
    ['xdp_prog', 'xdp'],
    ['xdp_sock', 'xdp'],
    ['xdp_egress', 'xdp_egress'],
    ['xdp_egress/choose', 'xdp_egress'],
    ['xdp_gen', 'xdp_gen'],
    ['xdp_gen/complete_grant_1', 'xdp_gen'],
    ['xdp_generic', 'xdp'],
    ['tcx/egress', 'tc'],
    ['classifier/x', 'tc'],
    ['1/0x2', 'tc'],
    ['socket1', 'socket_filter'],
    ['kprobe/tcp_connect', 'unspec'],
    ['tcp_congestion', 'unspec'],
    ['struct_ops', 'struct_ops'],
    ['struct_ops/aimd_event', 'struct_ops'],
    ['struct_ops.s/x', 'unspec'],
  ];
  for (const [section, type] of cases) assert.is(sectionType(section), type, section);
});

test('what runs has a hook of its own, or is a member of a structure of functions', () => {
  assert.equal([...runnableTypes], ['xdp', 'xdp_egress', 'xdp_gen', 'tc', 'socket_filter']);
  assert.not.ok(isRunnable('unspec'));
  assert.ok(isRunnable('struct_ops') && !programTypes.struct_ops.hook);
  for (const type of runnableTypes) assert.is(hookRow(programTypes[type].hook!.name).type, type);
});

test('the first word of the context is read by the types that have one, the byte after it by none', () => {
  for (const type of programTypeNames) {
    const { contextBytes } = programTypes[type];
    const inside = ctxAccess(type, 0, 4, false, false);
    assert.is('problem' in inside, contextBytes === 0, type);
    assert.ok('problem' in ctxAccess(type, contextBytes, 4, false, false), type);
  }
  const dv = new DataView(new ArrayBuffer(256));
  assert.ok(contextView('xdp', dv, 0) instanceof XdpContextView);
  assert.not.ok(contextView('tc', dv, 0) instanceof XdpContextView);
});

test('egress and gen programs read the port that a packet leaves by, ingress programs do not; helpers are those of xdp', () => {
  const EGRESS_IFINDEX = 20;
  for (const type of ['xdp_egress', 'xdp_gen'] as const) {
    assert.not.ok('problem' in ctxAccess(type, EGRESS_IFINDEX, 4, false, false));
    assert.ok('problem' in ctxAccess(type, EGRESS_IFINDEX, 4, true, false), 'and none writes it');
    for (const helper of helpers)
      assert.is(helper.types.includes(type), helper.types.includes('xdp'), `${helper.name}: ${type}`);
    assert.is(programTypes[type].verdict(4), 'XDP_REDIRECT');
  }
  assert.ok('problem' in ctxAccess('xdp', EGRESS_IFINDEX, 4, false, false));
});

test('every helper is for types that run', () => {
  for (const helper of helpers)
    for (const type of helper.types) assert.ok(isRunnable(type), `${helper.name}: ${type}`);
});

test('return values have the names that the kernel gives them', () => {
  assert.equal(
    [programTypes.xdp.verdict(2), programTypes.tc.verdict(2), programTypes.socket_filter.verdict(2)],
    ['XDP_PASS', 'TC_ACT_SHOT', 'keep'],
  );
  assert.equal([programTypes.xdp.verdict(9), programTypes.tc.verdict(0xffff_ffff)], ['', 'TC_ACT_UNSPEC']);
});
