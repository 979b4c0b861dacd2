/** Structures of functions in object files, and what becomes of them: maps, programs, refusals that name the reason. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Collection, HostPrograms } from '../../../host/bpf/collection.js';
import { loadElf } from '../../../host/bpf/elf/load.js';
import type { StructOpsMap } from '../../../host/bpf/maps/struct_ops.js';
import { parseSpecJson, printSpecJson } from '../../../host/bpf/spec_json.js';
import { verify } from '../../../host/bpf/verify/verify.js';
import type { EtherloomError } from '../../../host/errors.js';
import { FIXTURES } from '../../fixtures/elf/build.js';
import { loadObject } from '../../support/program_rig.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('struct_ops: objects');

const fixture = (name: string) => loadElf(readFileSync(join(FIXTURES, `${name}.bpf.o`)), `${name}.bpf.o`);

test('a variable of .struct_ops is a map: its functions are entries, the rest of its bytes its contents', () => {
  const { maps, programs } = loadObject('aimd');
  const { type, keySize, valueSize, maxEntries, values, contents } = maps.aimd;
  assert.equal([type, keySize, valueSize, maxEntries], ['struct_ops', 4, 32, 1]);
  assert.equal(values, [
    { key: 0, name: 'aimd_init' },
    { key: 1, name: 'aimd_event' },
  ]);
  assert.is(Buffer.from(contents!).toString('latin1'), `${'\0'.repeat(16)}aimd${'\0'.repeat(12)}`);
  assert.equal(programs.aimd_event.structOps, { name: 'el_cc_ops', member: 'event' });
  assert.equal(programs.aimd_init.structOps, { name: 'el_cc_ops', member: 'init' });
});

test('what a program is a member of is part of its JSON', () => {
  const { aimd_event: program } = loadObject('aimd').programs;
  const back = parseSpecJson(printSpecJson(program), 'aimd.json');
  assert.equal([back.type, back.structOps], ['struct_ops', { name: 'el_cc_ops', member: 'event' }]);
});

test('loaded, the structure holds the table slots of its programs; unloaded with it they are gone', async () => {
  const host = HostPrograms.create();
  const collection = await Collection.load(loadObject('aimd'), host);
  const map = collection.map<StructOpsMap>('aimd');
  assert.equal([map.text, map.ops.name], ['aimd', 'el_cc_ops']);
  const slot = (at: number): number => Number(host.arena.dv.getBigUint64(map.valueAt + at, true));
  assert.is(slot(0), collection.program('aimd_init').placed.run);
  assert.is(slot(8), collection.program('aimd_event').placed.run);
  assert.throws(
    () => map.put(0, collection.program('aimd_event')),
    /aimd_event was verified as el_cc_ops.event/,
  );
  await collection.close();
});

test('a member with another prototype is refused when the file is read, both named', () => {
  assert.throws(
    () => fixture('struct_ops_prototype'),
    (error: EtherloomError) => {
      assert.is(error.code, 'ERR_ELF_STRUCT_OPS');
      assert.match(
        error.message,
        /argument 2 is no pointer; this file declares "int event\(struct el_cc \*, int\)", the engine has "int event\(struct el_cc \*cc, const struct el_cc_event \*event\)"/,
      );
      return true;
    },
  );
});

test('one that writes what is not its own is refused by the verifier, with the line and what it may write', async () => {
  const host = HostPrograms.create();
  await Collection.load(fixture('struct_ops_greedy'), host).then(
    () => assert.unreachable(),
    (error: Error) => {
      assert.match(
        error.message,
        /algorithm of struct el_cc is not for the program to write; it may write cwnd/,
      );
      assert.match(error.message, /struct_ops_greedy\.c:\d+/);
    },
  );
});

test('a structure of the kernel’s is read: its programs name their member, and are refused as none of ours', async () => {
  const spec = fixture('struct_ops_kernel');
  assert.is(spec.maps.like.flags, 1 << 13, '.struct_ops.link: BPF_F_LINK');
  assert.equal(spec.programs.reno_like.structOps, { name: 'tcp_congestion_ops', member: 'ssthresh' });
  assert.throws(() => verify(spec.programs.reno_like), /there is no tcp_congestion_ops.ssthresh/);
  await Collection.load(spec, HostPrograms.create()).then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, /map "like" .* a structure of functions/s),
  );
});
