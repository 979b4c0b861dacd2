/** The order of the parts: a folder imports only from those listed for it. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert, suite } from '../support/suite.js';

const test = suite('layout: import order');
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** By folder: folders (and files beside them) that it may import. */
const HOST: Record<string, string> = {
  layout: '',
  native: '',
  wire: 'errors layout',
  mem: 'errors layout native',
  bpf: 'errors layout mem wire native',
  nic: 'errors layout mem wire native bpf',
  responder: 'errors layout mem wire nic',
  engine: 'errors layout mem wire native bpf nic responder',
  sim: 'errors layout wire bpf nic engine',
  forward: 'errors layout mem wire native bpf nic engine',
  streams: 'errors layout mem engine',
  transports: 'errors layout mem wire bpf nic engine streams',
  rpc: 'errors layout mem wire engine streams transports',
  net: 'errors layout mem wire native bpf nic responder engine streams transports rpc',
  apps: 'errors layout mem wire bpf nic engine streams transports rpc net',
  cli: 'errors mem bpf nic native engine forward transports net apps',
};
const ASSEMBLY: Record<string, string> = {
  mem: 'layout.gen',
  wire: 'layout.gen mem',
  core: 'layout.gen mem wire',
  nic: 'layout.gen mem wire core',
  responder: 'layout.gen mem wire core nic',
  stream: 'layout.gen mem wire core nic',
  bpf: 'layout.gen mem wire core nic responder stream',
  cc: 'layout.gen core',
  bench: 'index layout.gen mem core nic stream',
};
/** Below every folder: know errors only. */
const BASE = ['json', 'files'];
/** Against the order, and known: the lane's header below, what the loop drives above. */
const EXCEPTIONS = [
  'assembly/mem/frames.ts core',
  'assembly/mem/ring.ts core',
  'assembly/core/forward.ts bpf',
  'assembly/core/forward.ts nic',
  'assembly/core/egress.ts nic',
  'assembly/core/generate.ts nic',
  'assembly/core/generate.ts stream',
  'assembly/core/loop.ts bpf',
  'assembly/core/loop.ts nic',
  'assembly/core/loop.ts stream',
  'assembly/core/stack.ts bpf',
  'assembly/core/stack.ts nic',
  'assembly/core/stack.ts responder',
];

/** "FILE FOLDER" of every import that the table does not allow. */
function against(root: string, allowed: Record<string, string>): string[] {
  const found = new Set<string>();
  for (const name of readdirSync(join(ROOT, root), { recursive: true, encoding: 'utf8' })) {
    const [part, inner] = name.split('/');
    if (!name.endsWith('.ts') || inner === undefined) continue;
    const text = readFileSync(join(ROOT, root, name), 'utf8');
    for (const [, path] of text.matchAll(/\b(?:from|import)\s*\(?\s*['"](\.[^'"]+)['"]/g)) {
      const target = normalize(join(dirname(name), path))
        .split('/')[0]
        .replace(/\.[jt]s$/, '');
      // What leaves the root is the built core, whose types host/mem takes.
      if (target === part || target === '..' || BASE.includes(target)) continue;
      if (!(part in allowed) || !allowed[part].split(' ').includes(target))
        found.add(`${root}/${name} ${target}`);
    }
  }
  return [...found].sort();
}

test('host: layout ← mem, wire ← bpf, nic ← responder ← engine ← streams ← transports ← rpc ← net; cli', () => {
  assert.equal(against('host', HOST), []);
});

test('assembly: layout ← mem ← wire, core ← nic ← responder ← bpf, but for what is listed', () => {
  assert.equal(against('assembly', ASSEMBLY), [...EXCEPTIONS].sort());
});
