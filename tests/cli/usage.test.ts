/** Each command with each kind of error, as a child process of the built package: exit code, error code, what is named. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert, suite } from '../support/suite.js';

const test = suite('cli: errors');
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MAIN = join(ROOT, 'dist/cli/main.js');
const OBJ = 'bpf-progs/obj/drop.bpf.o';
const FIREWALL = 'bpf-progs/obj/firewall.bpf.o';
const CAPTURE = 'tests/fixtures/capture/real-traffic.pcapng';
const PACKET = '00'.repeat(64);
const SPEC = { type: 'xdp', insns: 'b700000002000000 9500000000000000' };
const MINUTE = 60_000;

interface Said {
  status: number | null;
  code: string;
  message: string;
  file?: string;
  offset?: number;
  path?: string;
  expected?: string;
}

function spawn(args: string[]) {
  return spawnSync(process.execPath, [MAIN, ...args], { cwd: ROOT, encoding: 'utf8', timeout: MINUTE });
}

/** Runs with --json and takes the error apart; nothing else may be printed. */
function failing(args: string[], where: 'before' | 'after' = 'after'): Said {
  const r = spawn(where === 'before' ? ['--json', ...args] : [...args, '--json']);
  assert.is(r.stderr, '', `stderr of ${args.join(' ')}`);
  let error: Omit<Said, 'status'>;
  try {
    error = JSON.parse(r.stdout).error;
  } catch {
    throw new Error(`${args.join(' ')}: no JSON but ${r.stdout}`);
  }
  return { status: r.status, ...error };
}

/** The least that each command asks for, and what its first argument is. */
const LINES: Record<string, { object?: string; rest: string[] }> = {
  run: { object: OBJ, rest: ['--in', CAPTURE] },
  verify: { object: OBJ, rest: [] },
  'test-run': { object: OBJ, rest: ['--data', PACKET] },
  disasm: { object: OBJ, rest: [] },
  jit: { object: OBJ, rest: [] },
  maps: { object: OBJ, rest: [] },
  demo: { rest: [] },
  forward: { rest: ['--in', `pcap:${CAPTURE}`] },
};
const line = (command: string, object = LINES[command].object): string[] => [
  command,
  ...(object === undefined ? [] : [object]),
  ...LINES[command].rest,
];

for (const command of Object.keys(LINES)) {
  test(
    `${command}: what is wrong with the line is usage: exit code 2, in JSON as in text`,
    () => {
      const option = failing([...line(command), '--wrong']);
      assert.equal([option.status, option.code], [2, 'ERR_USAGE_OPTION']);
      assert.match(option.message, /--wrong/);
      assert.match(option.expected!, /--json/);
      assert.equal(failing([...line(command), '--wrong'], 'before'), option);

      const argument = failing([...line(command), 'one too many']);
      assert.equal([argument.status, argument.code], [2, 'ERR_USAGE_ARGUMENT']);

      const text = spawn([...line(command), '--wrong']);
      assert.is(text.status, 2);
      assert.is(text.stdout, '');
      assert.match(text.stderr, /^etherloom: ERR_USAGE_OPTION: .*--wrong/);

      if (LINES[command].object === undefined) return;
      const missing = failing([command, ...LINES[command].rest]);
      assert.equal([missing.status, missing.code], [2, 'ERR_USAGE_MISSING']);
      assert.match(missing.expected!, /<object>/);
    },
    { timeoutMs: MINUTE },
  );

  if (LINES[command].object === undefined) continue;
  test(
    `${command}: an object that cannot be read or is none is a failure that names the file: exit code 1`,
    () => {
      const absent = failing(line(command, 'no-such-file.o'));
      assert.equal([absent.status, absent.code, absent.file], [1, 'ERR_FILE_READ', 'no-such-file.o']);
      const folder = failing(line(command, 'tests'), 'before');
      assert.equal([folder.status, folder.code, folder.file], [1, 'ERR_FILE_KIND', 'tests']);
      const other = failing(line(command, 'LICENSE'));
      assert.equal([other.status, other.code, other.file], [1, 'ERR_FILE_KIND', 'LICENSE']);
    },
    { timeoutMs: MINUTE },
  );
}

test(
  'numbers, choices and values are checked before anything is done: exit code 2 and what is expected',
  () => {
    const cases: [string[], RegExp][] = [
      [['run', OBJ, '--in', CAPTURE, '--lanes', '0'], /1 to 64/],
      [['run', OBJ, '--in', CAPTURE, '--lanes', 'two'], /1 to 64/],
      [['run', OBJ, '--in', CAPTURE, '--repeat', '1.5'], /whole number/],
      [['run', OBJ, '--in'], /run/],
      [['test-run', OBJ, '--data', PACKET, '--repeat', '-1'], /whole number/],
      [['test-run', OBJ, '--data', PACKET, '--engine', 'magic'], /jit, interp, kernel/],
      [['disasm', OBJ, '--notation', 'intel'], /kernel, clang/],
      [['jit', OBJ, '--wasm'], /jit/],
      [['demo', '--packets', 'many'], /whole number/],
      [['demo', '--lanes', '65'], /1 to 64/],
      [['attach', OBJ, '--nic', 'model', '--duration', '3000000'], /from 0\.05 to 2147483$/],
    ];
    for (const [args, expected] of cases) {
      const said = failing(args);
      assert.equal([said.status, said.code], [2, 'ERR_USAGE_VALUE'], args.join(' '));
      assert.match(said.expected!, expected);
    }
    const hex = failing(['test-run', OBJ, '--data', '0g']);
    assert.equal([hex.status, hex.code], [2, 'ERR_USAGE_HEX']);
    for (const args of [
      ['run', OBJ],
      ['test-run', OBJ],
    ]) {
      const said = failing(args);
      assert.equal([said.status, said.code], [2, 'ERR_USAGE_MISSING'], args.join(' '));
    }
  },
  { timeoutMs: MINUTE },
);

test('a line without command, or with one that is none, lists the commands: exit code 2', () => {
  for (const args of [[], ['nonsense'], ['conform']]) {
    const said = failing(args);
    assert.equal([said.status, said.code], [2, 'ERR_USAGE_COMMAND'], args.join(' '));
    assert.match(said.expected!, /run, verify, test-run/);
  }
  const text = spawn([]);
  assert.is(text.status, 2);
  assert.match(text.stderr, /Usage: etherloom/);
  assert.is(failing(['conformance'], 'before').status, 2);
});

test('help and version are answers, not errors: exit code 0, on stdout', () => {
  for (const args of [['--help'], ['run', '--help'], ['help', 'verify'], ['conformance', '--help']]) {
    const r = spawn(args);
    assert.equal([r.status, r.stderr], [0, ''], args.join(' '));
    assert.match(r.stdout, /^Usage: etherloom/);
  }
  assert.match(spawn(['run', '--help']).stdout, /--json/);
  assert.match(spawn(['--version']).stdout, /^\d+\.\d+\.\d+\n$/);
});

test('--json may stand before the command as well as after it', () => {
  for (const command of ['verify', 'disasm', 'maps', 'jit']) {
    const [before, after] = [spawn(['--json', command, OBJ]), spawn([command, OBJ, '--json'])];
    assert.equal([before.status, after.status], [0, 0], command);
    assert.equal(Object.keys(JSON.parse(before.stdout)), Object.keys(JSON.parse(after.stdout)));
  }
});

test('a program that is not there, and one that is rejected, are failures: exit code 1', () => {
  for (const command of ['run', 'verify', 'test-run', 'disasm', 'jit']) {
    const said = failing([...line(command), '--program', 'nobody']);
    assert.equal([said.status, said.code, said.file], [1, 'ERR_PROGRAM_NAME', OBJ], command);
    assert.match(said.expected!, /drop/);
  }
});

test(
  'files beside the object that cannot be read or written are named: exit code 1',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'etherloom-usage-'));
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    try {
      const nowhere = join(folder, 'no/such/file');
      const full = file('taken', '');
      const broken = file('broken.json', '{"deny4": ');
      const cases: [string[], string, string][] = [
        [['run', OBJ, '--in', nowhere], 'ERR_PCAP_FILE', nowhere],
        [['run', OBJ, '--in', CAPTURE, '--out', nowhere], 'ERR_PCAP_FILE', nowhere],
        [['run', OBJ, '--in', CAPTURE, '--config', nowhere], 'ERR_CONFIG_READ', nowhere],
        [['test-run', OBJ, '--data', PACKET, '--config', broken], 'ERR_CONFIG_READ', broken],
        [['jit', OBJ, '--wasm', nowhere], 'ERR_FILE_WRITE', nowhere],
        [['demo', '--in', nowhere, '--out', folder], 'ERR_PCAP_FILE', nowhere],
        [['demo', '--out', join(full, 'x')], 'ERR_FILE_WRITE', join(full, 'x')],
      ];
      for (const [args, code, name] of cases) {
        const said = failing(args);
        assert.equal([said.status, said.code, said.file], [1, code, name], args.join(' '));
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  { timeoutMs: MINUTE },
);

test(
  'a configuration without an end, one that nobody writes and one that says a thing twice are refused, by every command',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'etherloom-usage-'));
    try {
      const fifo = join(folder, 'fifo');
      assert.is(spawnSync('mkfifo', [fifo]).status, 0);
      const twice = join(folder, 'twice.json');
      writeFileSync(twice, '{"deny4": [],\n "deny4": []}');
      for (const [file, code, offset] of [
        ['/dev/zero', 'ERR_FILE_KIND', undefined],
        [fifo, 'ERR_FILE_KIND', undefined],
        [twice, 'ERR_CONFIG_READ', 15],
      ] as const)
        for (const args of [
          ['attach', OBJ, '--nic', 'model', '--config', file],
          ['forward', '--in', `pcap:${CAPTURE}`, '--config', file],
          ['run', OBJ, '--in', CAPTURE, '--config', file],
        ]) {
          const said = failing(args);
          assert.equal(
            [said.status, said.code, said.file, said.offset],
            [1, code, file, offset],
            args.join(' '),
          );
        }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  { timeoutMs: MINUTE },
);

test(
  'a configuration that does not fit names its file and the path in it, in run and in test-run',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'etherloom-usage-'));
    const config = join(folder, 'config.json');
    try {
      const cases: [object, string, string][] = [
        [{ deny4: 5 }, 'ERR_CONFIG_FORM', 'deny4'],
        [{ deny4: [{ key: '10.0.0.0/8' }] }, 'ERR_CONFIG_FORM', 'deny4[0].value'],
        [{ deny4: [{ key: '10.0.0.0/8', value: 1, vlaue: 2 }] }, 'ERR_CONFIG_FORM', 'deny4[0].vlaue'],
        [{ deny5: [] }, 'ERR_CONFIG_MAP', 'deny5'],
        [{ deny4: [{ key: '10.0.0.0/99', value: 1 }] }, 'ERR_CONFIG_ENTRY', 'deny4[0]'],
      ];
      for (const [json, code, path] of cases) {
        writeFileSync(config, JSON.stringify(json));
        for (const args of [
          ['test-run', FIREWALL, '--data', PACKET, '--config', config],
          ['run', FIREWALL, '--in', CAPTURE, '--config', config],
        ]) {
          const said = failing(args);
          assert.equal(
            [said.status, said.code, said.file, said.path],
            [1, code, config, path],
            args.join(' '),
          );
        }
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  { timeoutMs: MINUTE },
);

test('a SPEC.json that is misspelt or asks for a map that cannot be is refused by file and path', () => {
  const folder = mkdtempSync(join(tmpdir(), 'etherloom-usage-'));
  const spec = join(folder, 'spec.json');
  const put = (json: unknown): void => writeFileSync(spec, JSON.stringify(json));
  try {
    put({ ...SPEC, maps: { 3: { type: 'hash', key: 8, value: 48, max_entires: 1 } } });
    for (const command of ['verify', 'test-run', 'run']) {
      const said = failing(line(command, spec));
      assert.equal(
        [said.status, said.code, said.file, said.path],
        [1, 'ERR_SPEC_MEMBER', spec, 'maps.3.max_entires'],
        command,
      );
    }
    put({ ...SPEC, maps: { 3: { type: 'hash', key: 8, value: 48, max: 0 } } });
    const verdict = spawn(['verify', spec, '--json']);
    assert.is(verdict.status, 1);
    assert.is(JSON.parse(verdict.stdout).programs[0].error.code, 'ERR_MAP_EINVAL');
    put({ ...SPEC, insns: 'b700000002000000\n\t95000000 00000000\n', maps: { 3: { type: 2, value: 8 } } });
    assert.is(spawn(['verify', spec]).status, 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
