/**
 * What the threads of lanes are started from. A process that runs the source (tsx) starts them from a build of the same
 * source, where there is one: a thread that compiles it takes 0.3 to 1.3 s until it runs, one of dist/ some 50 ms, and for
 * as long a lane that died is missed.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const HERE = import.meta.url;
const SOURCE = fileURLToPath(new URL('../', HERE));
const BUILT = fileURLToPath(new URL('../../dist/', HERE));

let found: string | undefined;

/** Its URL. Looked for once: what runs is what was there at the first start. */
export function laneFile(): string {
  return (found ??= find());
}

/** URL of another module of the package that lanes load, of the same build: its path from `host/`, without an ending. */
export function laneModule(path: string): string {
  const file = laneFile();
  return new URL(`../${path}${file.slice(file.lastIndexOf('.'))}`, file).href;
}

function find(): string {
  if (!HERE.endsWith('.ts')) return new URL('lane_worker.js', HERE).href;
  if (!isBuilt(SOURCE, BUILT)) return new URL('lane_worker.ts', HERE).href;
  return pathToFileURL(join(BUILT, 'engine/lane_worker.js')).href;
}

/** Whether the folder `built` has what every file of the folder `source` says now. */
export function isBuilt(source: string, built: string): boolean {
  if (!existsSync(built)) return false;
  const files = readdirSync(source, { encoding: 'utf8', recursive: true });
  return files
    .filter(f => f.endsWith('.ts') && !f.endsWith('.d.ts'))
    .every(f => isFresh(join(source, f), join(built, f.replace(/ts$/, 'js'))));
}

/** A file that was touched since is built anew only if it was changed: then its source map, which holds the source, tells. */
function isFresh(source: string, built: string): boolean {
  if (!existsSync(built)) return false;
  if (statSync(source).mtimeMs <= statSync(built).mtimeMs) return true;
  const map = `${built}.map`;
  if (!existsSync(map)) return false;
  const { sourcesContent } = JSON.parse(readFileSync(map, 'utf8')) as { sourcesContent?: string[] };
  return sourcesContent?.[0] === readFileSync(source, 'utf8');
}
