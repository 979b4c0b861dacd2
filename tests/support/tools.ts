/** Programs of the system that tests use as oracles. */
import { spawnSync } from 'node:child_process';

/** Why a program is missing, undefined when it is there. */
export function missingTool(name: string): string | undefined {
  const found = spawnSync(name, ['--version'], { stdio: 'ignore' });
  return found.error ? `${name} is not installed` : undefined;
}

/** Runs a program and returns what it printed. @throws Error with its stderr when it fails. */
export function run(name: string, args: string[]): string {
  const r = spawnSync(name, args, { encoding: 'utf8', maxBuffer: 256 << 20 });
  if (r.error) throw r.error;
  if (r.status !== 0) throw new Error(`${name} ended with ${r.status}: ${r.stderr}`);
  return r.stdout;
}
