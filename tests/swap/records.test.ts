/** Layouts compared, members found again, and records that move under their readers. */

import type { Btf, BtfType } from '../../host/bpf/btf/btf.js';
import { typeDifferences } from '../../host/bpf/btf/compare.js';
import { Arena } from '../../host/mem/arena.js';
import { type Records, RecordTable } from '../../host/transports/records.js';
import { closeCell, freeCell, newCell, openCell } from '../../host/transports/records_cell.js';
import { movesOf } from '../../host/transports/upgrade/migration.js';
import { tooMany } from '../../host/transports/upgrade/probation.js';
import { assert, suite } from '../support/suite.js';

const test = suite('swap: layouts and records');

const u32: BtfType = { ...{ kind: 'int', name: 'u32', size: 4, bits: 32, bitOffset: 0 }, ...FLAGS() };
const u64: BtfType = { ...{ kind: 'int', name: 'u64', size: 8, bits: 64, bitOffset: 0 }, ...FLAGS() };

function FLAGS() {
  return { signed: false, char: false, bool: false };
}

/** Ids: 1 u32, 2 u64, 3 i32, 4 u32[2], then structures of [name, type id, offset in bytes]. */
function types(...structs: [size: number, ...members: [string, number, number][]][]): Btf {
  const i32: BtfType = { ...(u32 as Extract<BtfType, { kind: 'int' }>), name: 'int', signed: true };
  return {
    types: [
      { kind: 'void' },
      ...[u32, u64, i32],
      { kind: 'array', type: 1, indexType: 1, count: 2 },
      ...structs.map(
        ([size, ...members], i): BtfType => ({
          ...{ kind: 'struct', name: `s${i}`, size },
          members: members.map(([name, type, at]) => ({ name, type, bitOffset: at * 8, bitSize: 0 })),
        }),
      ),
    ],
  };
}

const was = { btf: types([16, ['a', 1, 0], ['b', 1, 4], ['c', 2, 8]]), id: 5 };
const CHANGES: [what: string, after: Btf, told: string[]][] = [
  ['the same', types([16, ['a', 1, 0], ['b', 1, 4], ['c', 2, 8]]), []],
  [
    'a member more',
    types([24, ['a', 1, 0], ['n', 1, 4], ['b', 1, 8], ['c', 2, 16]]),
    [
      ...['it had 16 bytes and has 24', 'n is new, at offset 4', 'b was at offset 4 and is at offset 8'],
      'c was at offset 8 and is at offset 16',
    ],
  ],
  ['one less', types([16, ['a', 1, 0], ['c', 2, 8]]), ['b (offset 4) is gone']],
  [
    'two that change places',
    types([16, ['b', 1, 0], ['a', 1, 4], ['c', 2, 8]]),
    ['a was at offset 0 and is at offset 4', 'b was at offset 4 and is at offset 0'],
  ],
  ['a sign', types([16, ['a', 3, 0], ['b', 1, 4], ['c', 2, 8]]), ['a was unsigned and is signed']],
  [
    'an array of as many bytes',
    types([16, ['a', 1, 0], ['b', 1, 4], ['c', 4, 8]]),
    ['c was an int and is an array'],
  ],
];
for (const [what, btf, told] of CHANGES)
  test(`layouts: ${what}`, () => {
    assert.equal(typeDifferences(was, { btf, id: 5 }), told);
  });

test('what both layouts have is copied to its new place, inside of structures, too', () => {
  const wide = types([24, ['n', 1, 0], ['a', 1, 4], ['b', 3, 8], ['c', 2, 16]]);
  assert.equal(movesOf(was, { btf: wide, id: 5 }), [
    [0, 4, 4],
    [8, 16, 8],
  ]);
  const outer = (inner: Btf, at: number): Btf => ({
    types: [
      ...inner.types,
      {
        ...{ kind: 'struct', name: 'o', size: 64 },
        members: [
          { name: 'x', type: 2, bitOffset: 0, bitSize: 0 },
          { name: 's', type: 5, bitOffset: at * 8, bitSize: 0 },
        ],
      },
    ],
  });
  assert.equal(movesOf({ btf: outer(was.btf, 8), id: 6 }, { btf: outer(wide, 16), id: 6 }), [
    [0, 0, 8],
    [8, 20, 4],
    [16, 32, 8],
  ]);
});

test('a table of records follows them to another place and layout, from the next access on', () => {
  const arena = Arena.create({ frames: 16, mapBytes: 1 << 20 });
  const cell = newCell(arena);
  const used = arena.maps.usedBytes;
  const first: Records = { at: arena.maps.alloc(64), stride: 8, count: 4, fields: { n: { at: 0, size: 4 } } };
  const table = new RecordTable(arena, { ...first, cell });
  table.set(2, 'n', 5);
  assert.is(arena.u32[(first.at + 16) >> 2], 5);
  const second: Records = {
    at: arena.maps.alloc(64),
    stride: 16,
    count: 4,
    fields: { n: { at: 8, size: 4 } },
  };
  closeCell(arena, cell);
  arena.u32[(second.at + 2 * 16 + 8) >> 2] = 6;
  openCell(arena, cell, JSON.stringify(second));
  assert.is(table.get(2, 'n'), 6);
  table.add(2, 'n', 1);
  assert.is(table.word(2, 'n'), 7);
  assert.is(arena.u32[(first.at + 16) >> 2], 5);
  // Who is told late what was true once looks, too.
  assert.is(new RecordTable(arena, { ...first, cell }).get(2, 'n'), 7);
  // Values that were not moved after all.
  closeCell(arena, cell);
  openCell(arena, cell);
  assert.is(table.get(2, 'n'), 7);
  arena.maps.free(first.at);
  arena.maps.free(second.at);
  freeCell(arena, cell);
  assert.ok(arena.maps.usedBytes < used);
});

test('so many errors more are chance, and so many are not', () => {
  assert.ok(tooMany(0) > 7 && tooMany(0) < 10);
  assert.ok(tooMany(100) > 120 && tooMany(100) < 170);
  assert.ok(tooMany(10_000) < 10_600);
  // Three of one second say little about what twenty bring.
  assert.ok(tooMany(60, 20) > 150 && tooMany(60, 20) < 300);
});
