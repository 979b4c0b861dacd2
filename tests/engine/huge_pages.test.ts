/** Large pages are asked of the kernel for an arena that wants them, and for no other. */
import { readFileSync } from 'node:fs';
import { Engine } from '../../host/engine/engine.js';
import { native } from '../../host/native/load.js';
import { HostNic } from '../../host/nic/index.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: large pages');
const addon = native();
const missing = !addon.ok
  ? addon.reason
  : addon.native.hugePages
    ? undefined
    : 'the native addon is older than this version';

/** Bytes of this process's memory for which large pages were asked (VmFlags hg, proc(5)). */
function asked(): number {
  let bytes = 0;
  let size = 0;
  for (const line of readFileSync('/proc/self/smaps', 'utf8').split('\n')) {
    const kib = /^Size:\s+(\d+) kB/.exec(line);
    if (kib) size = Number(kib[1]) * 1024;
    if (/^VmFlags:.*\bhg\b/.test(line)) bytes += size;
  }
  return bytes;
}

test(
  'an engine asks for its arena when it is told to',
  async () => {
    const create = (hugePages: boolean) =>
      Engine.create({ nics: [new HostNic()], inline: true, frames: 4096, mapBytes: 8 << 20, hugePages });
    const before = asked();
    const plain = await create(false);
    assert.is(asked(), before);
    const large = await create(true);
    assert.ok(asked() - before >= 16 << 20, `${asked() - before} bytes`);
    await plain.stop();
    await large.stop();
  },
  { missing },
);
