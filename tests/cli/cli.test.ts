import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { withHelperList } from '../../host/cli/readme.js';
import { readCapture } from '../../host/nic/pcap/index.js';
import { assert, suite } from '../support/suite.js';

const test = suite('cli');
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MAIN = join(ROOT, 'dist/cli/main.js');
const CAPTURE = 'tests/fixtures/capture/real-traffic.pcapng';
const obj = (name: string): string => `bpf-progs/obj/${name}.bpf.o`;
const kernel = kernelAvailable();
const MINUTE = 60_000;

interface Result {
  code: number | null;
  out: string;
  err: string;
}

function etherloom(args: string[], input = ''): Result {
  const r = spawnSync(process.execPath, [MAIN, ...args], {
    cwd: ROOT,
    input,
    encoding: 'utf8',
    timeout: MINUTE,
  });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

function inFolder<T>(work: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'etherloom-cli-'));
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** UDP from 10.9.0.1 to 10.10.0.2, 60 bytes. */
const UDP = '02000000000102000000000208004500002e00000000401100000a0900010a0a000200350035001a0000'.padEnd(
  120,
  '0',
);

test(
  'run says what became of every packet and writes those that left, in time order',
  () => {
    inFolder(folder => {
      const out = join(folder, 'out.pcap');
      const r = etherloom([
        'run',
        obj('firewall'),
        '--in',
        CAPTURE,
        '--out',
        out,
        '--lanes',
        '2',
        '--config',
        'bpf-progs/filters/firewall/config.json',
        '--json',
      ]);
      assert.is(r.code, 0, r.err);
      const run = JSON.parse(r.out);
      const packets = [...readCapture(join(ROOT, CAPTURE))].length;
      assert.is(run.packets + run.oversized, packets);
      assert.is(
        Object.values(run.verdicts as Record<string, number>).reduce((a, b) => a + b, 0),
        run.packets,
      );
      assert.ok(run.verdicts.drop > 0 && run.verdicts.pass > 0);
      const left = [...readCapture(out)];
      assert.is(left.length, run.verdicts.pass);
      assert.is(run.written, left.length);
      for (let i = 1; i < left.length; i++) assert.ok(left[i].timestampNs >= left[i - 1].timestampNs);
    });
  },
  { timeoutMs: MINUTE },
);

test(
  'one lane and two give the same verdicts and the same packets',
  () => {
    inFolder(folder => {
      const one = (lanes: number) => {
        const out = join(folder, `${lanes}.pcap`);
        const r = etherloom([
          'run',
          obj('parse_drop'),
          '--in',
          CAPTURE,
          '--out',
          out,
          '--lanes',
          String(lanes),
          '--json',
        ]);
        assert.is(r.code, 0, r.err);
        return {
          verdicts: JSON.parse(r.out).verdicts,
          bytes: [...readCapture(out)].map(p => Buffer.from(p.data).toString('hex')).sort(),
        };
      };
      assert.equal(one(1), one(2));
    });
  },
  { timeoutMs: 2 * MINUTE },
);

test('run reads a capture from a pipe, as often as it is asked to play it', () => {
  const args = ['run', obj('pass'), '--in', '/dev/stdin', '--repeat', '2', '--json'];
  // Through a shell: what spawn gives as stdin is a socket, which cannot be opened by name.
  const out = execFileSync(
    'sh',
    ['-c', 'capture=$1; shift; cat "$capture" | "$@"', 'sh', CAPTURE, process.execPath, MAIN, ...args],
    { cwd: ROOT, encoding: 'utf8', timeout: MINUTE },
  );
  const packets = [...readCapture(join(ROOT, CAPTURE))].length;
  assert.equal(JSON.parse(out).verdicts, { pass: 2 * packets });
});

test('verify: accepted programs exit with 0 and say how much work it was', () => {
  const r = etherloom(['verify', obj('parse_drop'), '--json']);
  assert.is(r.code, 0, r.err);
  const [verdict] = JSON.parse(r.out).programs;
  assert.is(verdict.verdict, 'accepted');
  assert.ok(verdict.processed > verdict.insns / 2);
});

test('verify: a rejected spec exits with 1; rule, instruction and register state are named', () => {
  inFolder(folder => {
    const spec = join(folder, 'bad.json');
    // r2 = *(u32 *)(r1 + 0); r0 = *(u8 *)(r2 + 12); exit
    writeFileSync(
      spec,
      JSON.stringify({ type: 'xdp', insns: '6112000000000000 71200c0000000000 9500000000000000' }),
    );
    const r = etherloom(['verify', spec]);
    assert.is(r.code, 1);
    assert.match(r.out, /reject at 1/);
    assert.match(r.out, /packet/);
    assert.match(r.out, /r2=/);
    const json = JSON.parse(etherloom(['verify', spec, '--json', '--log']).out).programs[0];
    assert.is(json.error.insn, 1);
    assert.match(json.error.code, /^ERR_VERIFIER_/);
    assert.ok(json.log.length > 0);
    for (const command of [
      ['test-run', spec, '--data', UDP],
      ['run', spec, '--in', CAPTURE, '--quiet'],
      ['jit', spec],
    ]) {
      const { code, out } = etherloom([...command, '--json']);
      assert.is(code, 1, command[0]);
      const { error } = JSON.parse(out);
      assert.equal(
        [error.program, error.code, error.rule, error.insn, error.reason, error.state],
        ['program', json.error.code, json.error.rule, 1, json.error.reason, json.error.state],
        `${command[0]} says of it what verify says`,
      );
    }
    assert.match(etherloom(['jit', spec]).err, /ERR_VERIFIER_PACKET_BOUNDS: program: reject at 1/);
  });
});

test('test-run: JIT and interpreter agree, and the kernel with them', () => {
  const run = (engine: string) =>
    JSON.parse(etherloom(['test-run', obj('parse_drop'), '--data', UDP, '--engine', engine, '--json']).out);
  const jit = run('jit');
  assert.is(jit.verdict, 'XDP_PASS');
  assert.is(jit.data, UDP);
  assert.is(run('interp').retval, jit.retval);
});

test(
  'test-run --engine kernel returns the same',
  () => {
    const args = ['test-run', obj('parse_drop'), '--data', UDP, '--json'];
    const there = JSON.parse(etherloom([...args, '--engine', 'kernel']).out);
    const here = JSON.parse(etherloom(args).out);
    assert.is(there.retval, here.retval);
    assert.is(there.data, here.data);
  },
  { missing: kernel.ok ? undefined : kernel.reason },
);

test('test-run: a spec with a map runs, and --repeat counts up in it', () => {
  inFolder(folder => {
    const spec = join(folder, 'count.json');
    // r2 = 0 on the stack; r0 = lookup(map 3, &key); if r0 == 0 exit; *(u64 *)r0 += 1; r0 = *(u64 *)r0; exit
    const insns = [
      '7a0af8ff00000000',
      '1811000003000000',
      '0000000000000000',
      'bfa2000000000000',
      '07020000f8ffffff',
      '8500000001000000',
      '1500030000000000',
      'b701000001000000',
      'db10000000000000',
      '7900000000000000',
      '9500000000000000',
    ].join(' ');
    writeFileSync(
      spec,
      JSON.stringify({
        type: 'xdp',
        insns,
        maps: { 3: { type: 'array', key: 4, value: 8, max: 1, flags: 0 } },
      }),
    );
    const r = etherloom(['test-run', spec, '--data', UDP, '--repeat', '1000', '--json']);
    assert.is(r.code, 0, r.err + r.out);
    assert.is(JSON.parse(r.out).retval, 1000);
  });
});

test('disasm, jit and maps show what is in an object', () => {
  const text = etherloom(['disasm', obj('firewall')]);
  assert.is(text.code, 0, text.err);
  assert.match(text.out, /map_lookup_elem/);
  const wat = etherloom(['jit', obj('firewall'), '--wat']);
  assert.is(wat.code, 0, wat.err);
  assert.match(wat.out, /^\(module/m);
  inFolder(folder => {
    const file = join(folder, 'p.wasm');
    assert.is(etherloom(['jit', obj('drop'), '--wasm', file]).code, 0);
    assert.ok(WebAssembly.validate(new Uint8Array(readFileSync(file))));
  });
  const maps = JSON.parse(etherloom(['maps', obj('firewall'), '--json']).out).maps as {
    name: string;
    type: string;
  }[];
  assert.is(maps.find(m => m.name === 'deny4')?.type, 'lpm_trie');
});

test('conformance speaks the external runner’s language', () => {
  const program = 'b7  00  00  00  2a  00  00  00  95  00  00  00  00  00  00  00\n';
  for (const args of [[], ['--interp']]) {
    const r = etherloom(['conformance', ...args], program);
    assert.is(r.code, 0, r.err);
    assert.match(r.out, /^(0x)?2a\n$/);
  }
  const bad = etherloom(['conformance'], 'ff  00');
  assert.is.not(bad.code, 0);
  assert.ok(bad.out.length > 0);
});

test('usage errors exit with 2, failures with 1, and say what to do', () => {
  assert.is(etherloom(['run', obj('drop')]).code, 2);
  assert.is(etherloom(['nonsense']).code, 2);
  assert.is(etherloom([]).code, 2);
  assert.is(etherloom(['test-run', obj('drop'), '--data', 'xyz']).code, 2);
  const hex = etherloom(['test-run', obj('drop'), '--data', '0x10 10x2', '--json']);
  assert.is(hex.code, 2);
  const { error } = JSON.parse(hex.out);
  assert.equal([error.code, error.file, error.offset], ['ERR_USAGE_HEX', '--data', 7]);
  assert.is(etherloom(['run', obj('drop'), '--in', CAPTURE, '--lanes', '0']).code, 2);
  assert.is(etherloom(['--help']).code, 0);
  const missing = etherloom(['verify', 'no-such-file.o', '--json']);
  assert.is(missing.code, 1);
  assert.is(JSON.parse(missing.out).error.code, 'ERR_FILE_READ');
  const wrong = etherloom(['verify', 'package.json']);
  assert.is(wrong.code, 1);
  assert.match(wrong.err, /ERR_SPEC_MEMBER: version: an unknown member/);
  const program = etherloom(['verify', obj('drop'), '--program', 'nobody']);
  assert.is(program.code, 1);
  assert.match(program.err, /expected one of drop/);
});

test('a damaged object or capture is a coded error, not a crash', () => {
  inFolder(folder => {
    const bytes = readFileSync(join(ROOT, obj('firewall')));
    const cut = join(folder, 'cut.o');
    writeFileSync(cut, bytes.subarray(0, 700));
    const r = etherloom(['verify', cut]);
    assert.is(r.code, 1);
    assert.match(r.err, /ERR_ELF_.*offset/);
    const pcap = join(folder, 'cut.pcapng');
    writeFileSync(pcap, readFileSync(join(ROOT, CAPTURE)).subarray(0, 5001));
    const c = etherloom(['run', obj('drop'), '--in', pcap]);
    assert.is(c.code, 1);
    assert.match(c.err, /ERR_PCAP/);
  });
});

test(
  'the README’s example works as pasted',
  () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
    const code = /```js\n([\s\S]*?)```/.exec(readme)![1];
    assert.ok(code.split('\n').length <= 30, 'about twenty lines');
    const file = join(ROOT, `.readme-example-${process.pid}.mjs`);
    writeFileSync(file, code);
    try {
      const out = execFileSync(process.execPath, [file], { cwd: ROOT, encoding: 'utf8', timeout: MINUTE });
      assert.match(out, /drop: 1\b/);
      assert.match(out, /packets: 1n/);
    } finally {
      rmSync(file);
    }
  },
  { timeoutMs: MINUTE },
);

test('the README’s helper list is what the table says', () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  assert.ok(withHelperList(readme) === readme, 'stale: npm run build:readme');
});

test('an output that is the input, a device and an unwritable file are refused with a code; a failed run spares an older output', () => {
  inFolder(folder => {
    const capture = join(folder, 'in.pcapng');
    const bytes = readFileSync(join(ROOT, CAPTURE));
    writeFileSync(capture, bytes);
    const same = etherloom(['run', obj('pass'), '--in', capture, '--out', capture]);
    assert.is(same.code, 1);
    assert.match(same.err, /ERR_CAPTURE_SAME/);
    assert.ok(readFileSync(capture).equals(bytes), 'the capture is as it was');
    const older = join(folder, 'older.pcap');
    writeFileSync(older, 'mine');
    assert.is(etherloom(['run', obj('pass'), '--in', join(folder, 'no.pcap'), '--out', older]).code, 1);
    assert.is(readFileSync(older, 'utf8'), 'mine');
    assert.match(etherloom(['verify', '/dev/zero']).err, /ERR_FILE_KIND/);
    // Said to be regular and empty; reading it waits for what the kernel says next.
    if (existsSync('/proc/kmsg') && process.getuid?.() === 0)
      assert.match(etherloom(['verify', '/proc/kmsg']).err, /ERR_FILE_KIND/);
    assert.match(
      etherloom(['jit', obj('drop'), '--wasm', join(folder, 'no/such/file')]).err,
      /ERR_FILE_WRITE/,
    );
  });
});
