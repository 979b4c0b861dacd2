// Builds build/etherloom.node from addon.c with the C compiler ($CC, else cc): npm run build:native.
// Never fails an install: with --quiet a failure is one line and exit 0; without it the compiler speaks and exit is 1.
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const quiet = process.argv.includes('--quiet');
const path = relative => fileURLToPath(new URL(relative, import.meta.url));

function whyNotBuilt() {
  if (process.platform !== 'linux') return `${process.platform} is not Linux`;
  const headers = createRequire(import.meta.url)('node-api-headers').include_dir;
  mkdirSync(path('../../build'), { recursive: true });
  const flags = ['-shared', '-fPIC', '-O2', '-Wall', '-Wextra', '-I', headers];
  const out = path('../../build/etherloom.node');
  const args = [...flags, '-o', `${out}.new`, path('addon.c')];
  const cc = spawnSync(process.env.CC || 'cc', args, { stdio: quiet ? 'ignore' : 'inherit' });
  if (cc.error) return cc.error.message;
  if (cc.status !== 0) return `compiler ended with ${cc.signal ?? cc.status}`;
  renameSync(`${out}.new`, out); // not written in place: a running process may have it mapped
}

let reason;
try {
  reason = whyNotBuilt();
} catch (error) {
  reason = error.message.split('\n')[0];
}
if (reason) console.log(`native addon not built (kernel features stay off): ${reason}`);
process.exit(reason && !quiet ? 1 : 0);
