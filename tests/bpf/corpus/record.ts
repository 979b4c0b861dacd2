/**
 * Records the verdict of this kernel under every entry: tsx tests/bpf/corpus/record.ts [--check]
 * --check changes nothing and lists the entries whose accept or reject differs from what stands there.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import { type Entry, FOLDER, readEntries, readObjects, ruleFiles, writeVerdict } from './entry.js';
import { VERDICTS } from './objects.js';
import { kernelVerdict } from './verdict.js';

const kernel = kernelAvailable();
if (!kernel.ok) {
  console.error(kernel.reason);
  process.exit(1);
}
const check = process.argv.includes('--check');
const counts = { entries: 0, accepted: 0, changed: 0 };

function record(entry: Entry): string {
  const verdict = kernelVerdict(entry.spec);
  counts.entries++;
  if (verdict.accepted) counts.accepted++;
  if (verdict.accepted !== entry.recorded?.accepted) {
    counts.changed++;
    console.log(`${entry.rule}:${entry.line}: ${entry.claim}\n    now ${writeVerdict(verdict)}`);
  }
  return `→ ${writeVerdict(verdict)}`;
}

for (const name of ruleFiles()) {
  const text = readFileSync(`${FOLDER}${name}`, 'utf8');
  const lines = text.split('\n');
  for (const entry of readEntries(name.replace(/\.md$/, ''), text)) {
    const at = lines.findIndex((line, i) => i >= entry.line && line.startsWith('→ '));
    lines[at] = record(entry);
  }
  if (!check) writeFileSync(`${FOLDER}${name}`, lines.join('\n'));
}
const head = readFileSync(VERDICTS, 'utf8').split('\n- ')[0].trimEnd();
const rows = readObjects().map(entry => `- ${entry.spec.name} ${record(entry)}`);
if (!check) writeFileSync(VERDICTS, `${head}\n\n${rows.join('\n')}\n`);

const { entries, accepted, changed } = counts;
console.log(
  `${entries} entries, ${accepted} accepted, ${entries - accepted} rejected, ${changed} changed sides`,
);
