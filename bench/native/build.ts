/**
 * The C programs of the benches: compiled into build/bench/ when their source is newer, with $CC, else cc. They are peers
 * and clients only; nothing of the package needs them.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCES = fileURLToPath(new URL('.', import.meta.url));
const OUT = fileURLToPath(new URL('../../build/bench/', import.meta.url));
const FLAGS = ['-std=gnu17', '-O3', '-march=native', '-Wall', '-Wextra', '-Werror', '-pthread'];

export type NativeTool = 'http_server' | 'http_client' | 'awake' | 'xsk_peer' | 'xsk_load' | 'tcp_peer';

/** Why programs in C cannot be compiled here; undefined when they can. */
export const missingCompiler = ((): string | undefined => {
  const cc = spawnSync(process.env.CC || 'cc', ['--version'], { stdio: 'ignore' });
  return cc.status === 0 ? undefined : 'no C compiler (CC, cc)';
})();

/** Compiles a program when it must be; returns its path. @throws Error with the compiler's words */
export function nativeTool(name: NativeTool): string {
  const out = join(OUT, name);
  const sources = [`${name}.c`, ...readdirSync(SOURCES).filter(f => f.endsWith('.h'))];
  const newest = Math.max(...sources.map(f => statSync(join(SOURCES, f)).mtimeMs));
  if (existsSync(out) && statSync(out).mtimeMs > newest) return out;
  mkdirSync(OUT, { recursive: true });
  const temporary = `${out}.${process.pid}`;
  const cc = spawnSync(process.env.CC || 'cc', [...FLAGS, '-o', temporary, join(SOURCES, `${name}.c`)], {
    encoding: 'utf8',
  });
  if (cc.status !== 0) throw new Error(`${name}.c: ${cc.stderr || cc.error?.message}`);
  renameSync(temporary, out); // not written in place: another bench may be running it
  return out;
}
