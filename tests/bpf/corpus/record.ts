/**
 * Records the verdict of this kernel under every entry: tsx tests/bpf/corpus/record.ts [--check]
 * --check changes nothing and lists the entries whose accept or reject differs from what stands there.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import { FOLDER, readEntries, ruleFiles, writeVerdict } from './entry.js';
import { kernelVerdict } from './verdict.js';

const kernel = kernelAvailable();
if (!kernel.ok) {
  console.error(kernel.reason);
  process.exit(1);
}
const check = process.argv.includes('--check');
let entries = 0;
let accepted = 0;
let changed = 0;
for (const name of ruleFiles()) {
  let text = readFileSync(`${FOLDER}${name}`, 'utf8');
  const lines = text.split('\n');
  for (const entry of readEntries(name.replace(/\.md$/, ''), text)) {
    const verdict = kernelVerdict(entry.spec);
    entries++;
    if (verdict.accepted) accepted++;
    if (verdict.accepted !== entry.recorded?.accepted) {
      changed++;
      console.log(`${name}:${entry.line}: ${entry.claim}\n    now ${writeVerdict(verdict)}`);
    }
    const at = lines.findIndex((l, i) => i >= entry.line && l.startsWith('→ '));
    lines[at] = `→ ${writeVerdict(verdict)}`;
  }
  text = lines.join('\n');
  if (!check) writeFileSync(`${FOLDER}${name}`, text);
}
console.log(
  `${entries} entries, ${accepted} accepted, ${entries - accepted} rejected, ${changed} changed sides`,
);
