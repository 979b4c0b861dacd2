/** Finds the fuzz targets: every file of tests/fuzz/targets/ exports one as `target`. */
import { readdirSync } from 'node:fs';
import type { FuzzTarget } from '../support/fuzz.js';

export async function fuzzTargets(): Promise<FuzzTarget[]> {
  const folder = new URL('./targets/', import.meta.url);
  const files = readdirSync(folder).filter(f => f.endsWith('.ts'));
  const found: FuzzTarget[] = [];
  for (const file of files.sort()) {
    const { target } = (await import(new URL(file, folder).href)) as { target?: FuzzTarget };
    if (!target) throw new Error(`tests/fuzz/targets/${file} exports no target`);
    found.push(target);
  }
  return found;
}
