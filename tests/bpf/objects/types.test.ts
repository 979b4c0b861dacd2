/** Which structures can be objects, and which values can hold them: what we refuse, the kernel refuses. */
import type { Btf, BtfType } from '../../../host/bpf/btf/btf.js';
import { addon } from '../../../host/bpf/kernel/attr.js';
import { encodeBtf, loadBtf } from '../../../host/bpf/kernel/btf.js';
import { structRecords } from '../../../host/bpf/objects/fields.js';
import { missingKernel } from '../../support/helper_rig.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('objects: types');
const missing = missingKernel();

/** Sizes of the members' structures, with the bytes that their alignment takes. */
const SIZES: Readonly<Record<string, number>> = {
  int: 8,
  bpf_spin_lock: 8,
  bpf_refcount: 8,
  bpf_list_head: 16,
  bpf_list_node: 24,
  bpf_rb_root: 16,
  bpf_rb_node: 32,
};
const REAL: Readonly<Record<string, number>> = { bpf_spin_lock: 4, bpf_refcount: 4 };

/** `name:type[:contains]` by structure. */
type Structs = Readonly<Record<string, readonly string[]>>;

function types(structs: Structs): Btf {
  const int: BtfType = {
    kind: 'int',
    name: 'int',
    size: 4,
    bits: 32,
    bitOffset: 0,
    signed: true,
    char: false,
    bool: false,
  };
  const out: BtfType[] = [{ kind: 'void' }, int];
  const ids = new Map([['int', 1]]);
  for (const name of Object.keys(SIZES).slice(1)) {
    ids.set(name, out.length);
    const size = REAL[name] ?? SIZES[name];
    out.push({ kind: 'struct', name, size, members: [{ name: 'a', type: 1, bitOffset: 0, bitSize: 0 }] });
  }
  for (const [name, members] of Object.entries(structs)) {
    let at = 0;
    const id = out.length;
    const placed = members.map(m => {
      const [field, type] = m.split(':');
      const bitOffset = at * 8;
      at += SIZES[type];
      return { name: field, type: ids.get(type)!, bitOffset, bitSize: 0 };
    });
    out.push({ kind: 'struct', name, size: at, members: placed });
    members.forEach((m, component) => {
      const [, , ...rest] = m.split(':');
      if (rest.length)
        out.push({ kind: 'decl_tag', name: `contains:${rest.join(':')}`, type: id, component });
    });
  }
  return { types: out };
}

const takenHere = (btf: Btf): boolean => {
  try {
    structRecords(btf);
    return true;
  } catch (error) {
    assert.is((error as { code: string }).code, 'ERR_BTF_FIELD');
    return false;
  }
};

const takenByKernel = (btf: Btf): boolean => {
  try {
    addon().close(loadBtf(encodeBtf(btf)));
    return true;
  } catch (error) {
    assert.match((error as { code: string }).code, /^ERR_KERNEL_/);
    return false;
  }
};

const NODE = { leaf: ['n:int', 'link:bpf_list_node'] } as const;
const cases: readonly (readonly [claim: string, taken: boolean, structs: Structs])[] = [
  ['a node of a list', true, NODE],
  ['nodes of two lists', true, { a: ['x:bpf_list_node', 'y:bpf_list_node'] }],
  [
    'nodes of a list and a tree, counted',
    true,
    { a: ['x:bpf_list_node', 'y:bpf_rb_node', 'r:bpf_refcount'] },
  ],
  ['nodes of a list and a tree, not counted', false, { a: ['x:bpf_list_node', 'y:bpf_rb_node'] }],
  ['two locks', false, { a: ['x:bpf_rb_node', 'r:bpf_spin_lock', 's:bpf_spin_lock'] }],
  ['a list with its lock', true, { ...NODE, a: ['l:bpf_spin_lock', 'h:bpf_list_head:leaf:link'] }],
  ['a list without a lock', false, { ...NODE, a: ['h:bpf_list_head:leaf:link'] }],
  ['a list of nothing', false, { ...NODE, a: ['l:bpf_spin_lock', 'h:bpf_list_head'] }],
  ['a list of an unknown structure', false, { ...NODE, a: ['l:bpf_spin_lock', 'h:bpf_list_head:twig:link'] }],
  ['a list by an unknown member', false, { ...NODE, a: ['l:bpf_spin_lock', 'h:bpf_list_head:leaf:node'] }],
  [
    'a list by a member that is no node',
    false,
    { ...NODE, a: ['l:bpf_spin_lock', 'h:bpf_list_head:leaf:n'] },
  ],
  ['a tree by the node of a list', false, { ...NODE, a: ['l:bpf_spin_lock', 'h:bpf_rb_root:leaf:link'] }],
  [
    'a list of lists',
    true,
    {
      ...NODE,
      a: ['l:bpf_spin_lock', 'h:bpf_list_head:leaf:link', 'n:bpf_rb_node'],
      b: ['l:bpf_spin_lock', 'h:bpf_rb_root:a:n'],
    },
  ],
  [
    'a list of lists in a list',
    false,
    {
      ...NODE,
      a: ['l:bpf_spin_lock', 'h:bpf_list_head:leaf:link', 'n:bpf_rb_node'],
      b: ['l:bpf_spin_lock', 'h:bpf_rb_root:a:n', 'n:bpf_rb_node'],
    },
  ],
  ['a tree of what it is itself', false, { a: ['l:bpf_spin_lock', 'h:bpf_rb_root:a:n', 'n:bpf_rb_node'] }],
  ['eleven nodes', true, { a: Array.from({ length: 11 }, (_, i) => `n${i}:bpf_rb_node`) }],
  ['twelve nodes', false, { a: Array.from({ length: 12 }, (_, i) => `n${i}:bpf_rb_node`) }],
];

for (const [claim, taken, structs] of cases)
  test(`${claim} is ${taken ? 'taken' : 'refused'}`, () => assert.is(takenHere(types(structs)), taken));

test('two counts are refused, which Linux 6.18 takes with a warning in its log', () => {
  assert.not.ok(takenHere(types({ a: ['x:bpf_rb_node', 'r:bpf_refcount', 's:bpf_refcount'] })));
});

test(
  'the kernel judges all of them alike',
  () => {
    for (const [claim, taken, structs] of cases) assert.is(takenByKernel(types(structs)), taken, claim);
  },
  { missing },
);
