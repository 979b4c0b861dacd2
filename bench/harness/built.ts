/** Modules as users have them: from dist/, when it is built, so that what is measured is not what tsx makes of the source. */
import { existsSync } from 'node:fs';

const ROOT = new URL('../../', import.meta.url);

/** Where `host/PATH.ts` is, built if it can be. */
export function builtUrl(path: string): URL {
  const dist = new URL(`dist/${path}.js`, ROOT);
  return existsSync(dist) ? dist : new URL(`host/${path}.ts`, ROOT);
}

/** Imports `host/PATH.ts`, built if it can be. `T` is `typeof import('…/host/PATH.js')`. */
export async function built<T>(path: string): Promise<T> {
  return (await import(builtUrl(path).href)) as T;
}
