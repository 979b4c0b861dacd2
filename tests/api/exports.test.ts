/** What `import 'etherloom'` gives, on the built package under plain Node. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import * as api from '../../host/index.js';
import * as internals from '../../host/internals.js';
import { assert, suite } from '../support/suite.js';

const test = suite('api: exports');
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const built = existsSync(join(ROOT, 'dist/internals.js')) ? undefined : 'dist/ is not built: npm run build';

/** Runs a module of the package's user; the last line it prints is JSON. */
function asUser(code: string): unknown {
  const args = ['--input-type=module', '-e', code];
  const out = execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8', timeout: 60_000 });
  return JSON.parse(out.trim().split('\n').at(-1)!);
}

test(
  'both entries have code and types in the package, and no other file of it can be imported',
  () => {
    const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    for (const entry of ['.', './internals']) {
      assert.ok(existsSync(join(ROOT, exports[entry].default)), entry);
      assert.ok(existsSync(join(ROOT, exports[entry].types)), `types of ${entry}`);
    }
    const code = asUser(
      `let code; try { await import('etherloom/dist/bpf/jit/compile.js'); } catch (e) { code = e.code; } console.log(JSON.stringify(code));`,
    );
    assert.is(code, 'ERR_PACKAGE_PATH_NOT_EXPORTED');
  },
  { missing: built },
);

test(
  'the types hold under settings of users that are stricter than ours',
  () => {
    const program = ts.createProgram(
      ['dist/index.d.ts', 'dist/internals.d.ts'].map(f => join(ROOT, f)),
      {
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.NodeNext,
        moduleResolution: ts.ModuleResolutionKind.NodeNext,
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        noPropertyAccessFromIndexSignature: true,
        skipLibCheck: false,
        skipDefaultLibCheck: true,
        types: ['node'],
        noEmit: true,
      },
    );
    const wrong = ts.getPreEmitDiagnostics(program);
    assert.equal(
      wrong.map(d => `${d.file?.fileName}: ${ts.flattenDiagnosticMessageText(d.messageText, ' ')}`),
      [],
    );
  },
  { missing: built },
);

test('what an embedder needs is in etherloom; stages, slots and addresses are in etherloom/internals', () => {
  for (const name of ['openObject', 'Collection', 'Engine', 'HostNic', 'modelLink', 'verify', 'testRun'])
    assert.type((api as Record<string, unknown>)[name], 'function', name);
  for (const name of [
    'compileProgram',
    'instantiateProgram',
    'instantiateCore',
    'disassembleProgram',
    'mapBinding',
    'mapAt',
    'interpret',
    'testRunSlot',
  ]) {
    assert.type((internals as Record<string, unknown>)[name], 'function', name);
    assert.not.ok(name in api, `${name} is no part of the public API`);
  }
  const both = Object.keys(internals).filter(name => name in api);
  assert.equal(both, [], 'nothing has two homes');
});

test(
  'a program runs over a packet without an engine, and maps keep what it wrote',
  () => {
    const [jit, interp, runs] = asUser(`
    import { Collection, HostPrograms, openObject, testRun } from 'etherloom';
    const c = await Collection.load(openObject('bpf-progs/obj/parse_drop.bpf.o'), HostPrograms.create());
    const packet = Buffer.alloc(64);
    const say = r => [r.retval, Buffer.from(r.data).equals(packet), r.nsPerRun > 0];
    const jit = say(testRun(c, packet, { repeat: 3 }));
    const interp = say(testRun(c, packet, { engine: 'interp' }));
    const outcomes = c.map('outcomes');
    const runs = [...outcomes.keys()].reduce((n, k) => n + Number(outcomes.sum(k)), 0);
    await c.close();
    console.log(JSON.stringify([jit, interp, runs]));
  `) as [unknown[], unknown[], number];
    assert.equal(jit, interp);
    assert.equal(jit.slice(1), [true, true]);
    assert.is(runs, 4, 'three runs compiled, one interpreted');
  },
  { missing: built },
);

test(
  'a test run that makes no sense is refused with a code',
  () => {
    const codes = asUser(`
    import { Collection, HostPrograms, openObject, testRun } from 'etherloom';
    const c = await Collection.load(openObject('bpf-progs/obj/drop.bpf.o'), HostPrograms.create());
    const code = (...args) => { try { testRun(c, ...args); } catch (e) { return e.code; } };
    console.log(JSON.stringify([
      code(Buffer.alloc(13)), code(Buffer.alloc(64), { repeat: 0 }), code(Buffer.alloc(64), { program: 'nobody' }),
    ]));
  `);
    assert.equal(codes, ['ERR_TEST_RUN_DATA', 'ERR_TEST_RUN_OPTIONS', 'ERR_COLLECTION_PROGRAM']);
  },
  { missing: built },
);
