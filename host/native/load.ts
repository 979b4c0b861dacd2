/**
 * The native addon, or the reason why there is none. Used by host/bpf/kernel and the AF_XDP NIC;
 * importing this never throws: without the addon everything but the kernel's own features works.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** What addon.c exports. Every call returns its result, or -errno. */
export interface Native {
  /**
   * bpf(2). `pointers` is [offset in attr, Uint8Array, …]: addresses that are patched into the attribute.
   * The arrays must be as long as the command makes the kernel read or write them; nothing checks that here.
   */
  bpf(cmd: number, attr: Uint8Array, pointers: readonly (number | Uint8Array)[]): number;
  close(fd: number): number;
}

export type NativeLoad = { ok: true; native: Native } | { ok: false; reason: string };

function load(): NativeLoad {
  if (process.platform !== 'linux')
    return { ok: false, reason: `kernel features need Linux, this is ${process.platform}` };
  // The same relative place from host/native (tsx) and dist/native (built).
  const file = fileURLToPath(new URL('../../build/etherloom.node', import.meta.url));
  if (!existsSync(file))
    return { ok: false, reason: 'native addon not built: run npm run build:native (needs a C compiler)' };
  try {
    return { ok: true, native: createRequire(import.meta.url)(file) as Native };
  } catch (error) {
    return { ok: false, reason: `native addon does not load: ${(error as Error).message.split('\n')[0]}` };
  }
}

let loaded: NativeLoad | undefined;

/** Loads the addon once. */
export function native(): NativeLoad {
  return (loaded ??= load());
}
