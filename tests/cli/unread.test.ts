/** A reader of stdout that has seen enough (`| head -1`): no error, and the end of what runs until it is stopped. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { input } from '../forward/rig.js';
import { assert, suite } from '../support/suite.js';

const test = suite('cli: unread');
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MAIN = join(ROOT, 'dist/cli/main.js');
const CAPTURE = 'tests/fixtures/capture/real-traffic.pcapng';
const OBJECT = 'bpf-progs/obj/flow_stats.bpf.o';
const folder = mkdtempSync(join(tmpdir(), 'etherloom-unread-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const config = join(folder, 'chain.json');
writeFileSync(config, JSON.stringify(input(1)));

/** Runs a command whose stdout is closed at its first bytes, or before. */
async function head(args: string[], first: 'byte' | 'nothing' = 'byte') {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: ROOT });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', text => {
    err += text;
  });
  if (first === 'byte') child.stdout.once('data', () => child.stdout.destroy());
  else child.stdout.destroy();
  const begun = performance.now();
  const code = await new Promise<number | null>(resolve => child.once('close', resolve));
  return { code, err, seconds: (performance.now() - begun) / 1000 };
}

const LASTING = 60;
const LINES: Record<string, string[]> = {
  attach: ['attach', OBJECT, '--nic', 'model', '--interval', '0.1'],
  forward: ['forward', '--in', `pcap:${CAPTURE}`, '--out', `pcap:${CAPTURE}`, '--config', config],
};

for (const [command, line] of Object.entries(LINES))
  test(
    `${command} --json | head -1 ends at the next line, as by Ctrl-C`,
    async () => {
      const { code, err, seconds } = await head([...line, '--duration', `${LASTING}`, '--json']);
      assert.is(err, '');
      assert.is(code, 0);
      assert.ok(seconds < LASTING / 2, `${seconds} s`);
    },
    { timeoutMs: LASTING * 1000 },
  );

test('what ends by itself does so in silence', async () => {
  for (const line of [
    ['disasm', OBJECT],
    ['nics', '--json'],
    ['verify', 'no-such-file.o', '--json'],
  ]) {
    const { code, err } = await head(line, 'nothing');
    assert.is(err, '', line.join(' '));
    assert.is(code, line[0] === 'verify' ? 1 : 0, line.join(' '));
  }
});
