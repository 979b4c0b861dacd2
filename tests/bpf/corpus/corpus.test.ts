/** The corpus itself: broad, balanced, and true of the kernel that runs here. */
import { release } from 'node:os';
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import { assert, suite } from '../../support/suite.js';
import { readCorpus, writeVerdict } from './entry.js';
import { kernelVerdict } from './verdict.js';

const kernel = kernelAvailable();
const test = suite('corpus: programs and the kernel');
const entries = readCorpus();
/** The kernel that record.ts ran on. */
const RECORDED_ON = '6.18';
/** Rules move between kernel releases: elsewhere this part of the verdicts may differ. */
const OTHER_KERNEL_SHARE = 0.1;

test('it holds at least 250 programs, accepted and rejected in about equal parts', () => {
  const accepted = entries.filter(e => e.recorded?.accepted).length;
  assert.ok(entries.length >= 250);
  assert.ok(accepted / entries.length > 0.4 && accepted / entries.length < 0.6, `${accepted} accepted`);
});

test('every rule has programs on both sides', () => {
  for (const rule of new Set(entries.map(e => e.rule))) {
    const sides = new Set(entries.filter(e => e.rule === rule).map(e => e.recorded?.accepted));
    assert.ok(sides.has(true) && sides.has(false), rule);
  }
});

test('no two programs of the same type are the same', () => {
  const seen = new Map<string, string>();
  for (const e of entries) {
    const key = JSON.stringify([
      e.spec.type,
      e.spec.license,
      e.spec.insns,
      e.spec.kfuncs,
      Object.values(e.spec.maps),
    ]);
    const name = `${e.rule}:${e.line} ${e.claim}`;
    assert.is(seen.get(key), undefined, `${name} is ${seen.get(key)}`);
    seen.set(key, name);
  }
});

test(
  'the kernel says of each what was recorded',
  () => {
    const same = release().startsWith(`${RECORDED_ON}.`);
    const differing = entries
      .map(e => ({ e, now: kernelVerdict(e.spec) }))
      .filter(({ e, now }) => now.accepted !== e.recorded?.accepted)
      .map(({ e, now }) => `${e.rule}:${e.line} ${e.claim}: now ${writeVerdict(now)}`);
    assert.ok(differing.length <= (same ? 0 : entries.length * OTHER_KERNEL_SHARE), differing.join('\n'));
  },
  { missing: kernel.ok ? undefined : kernel.reason, timeoutMs: 60_000 },
);

test(
  'instructions processed are what was recorded',
  () => {
    const off = entries.filter(e => kernelVerdict(e.spec).processed !== e.recorded?.processed);
    assert.equal(
      off.map(e => `${e.rule}:${e.line}`),
      [],
    );
  },
  {
    missing: kernel.ok
      ? release().startsWith(`${RECORDED_ON}.`)
        ? undefined
        : `recorded on Linux ${RECORDED_ON}, this is ${release()}`
      : kernel.reason,
    timeoutMs: 60_000,
  },
);
