/**
 * The native addon, or the reason why there is none. Used by host/bpf/kernel and the NICs of the kernel, in any thread;
 * importing this never throws: without the addon everything but the kernel's own features works.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/**
 * What addon.c exports. Every call returns its result, or -errno. Bytes may lie in shared memory. Arrays must be as long
 * as the call makes the kernel read or write them, and those in `pointers` as long as the structure says: nothing checks
 * that here.
 */
export interface Native {
  /** bpf(2). `pointers` is [offset in attr, Uint8Array, …]: addresses that are patched into the attribute. */
  bpf(cmd: number, attr: Uint8Array, pointers: Pointers): number;
  /** socket(2), close-on-exec. */
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array): number;
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, pointers?: Pointers): number;
  /** Returns the bytes that the kernel wrote into `value`. */
  getsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
  /** `argument` is passed as it is when a number, else by address, with what the kernel answers in it. */
  ioctl(fd: number, request: number, argument: number | Uint8Array, pointers?: Pointers): number;
  /** Maps a file over the bytes of `target`, which must begin and end at a page. */
  mapFixed(fd: number, offset: number, target: Uint8Array): number;
  /** Puts zeroed anonymous memory back over the bytes of `target`. */
  unmapFixed(target: Uint8Array): number;
  /** sendto(2) of nothing, never waiting: an AF_XDP socket transmits what its ring holds. */
  kick(fd: number): number;
  /** poll(2) on struct pollfd[] ({i32 fd, i16 events, i16 revents}), 4-byte aligned. Blocks the thread. */
  poll(fds: Uint8Array, timeoutMs: number): number;
  /** A new eventfd, non-blocking: write 8 bytes to raise it, read 8 bytes to clear it. */
  eventfd(): number;
  /** Moves the calling thread to the network namespace that `fd` names. */
  setns(fd: number): number;
  /** open(2), close-on-exec; `path` ends with a zero byte. */
  open(path: Uint8Array, flags: number): number;
  /** read(2) into `length` bytes of `bytes` from `at` on. */
  read(fd: number, bytes: Uint8Array, at?: number, length?: number): number;
  /** write(2) of `length` bytes of `bytes` from `at` on. */
  write(fd: number, bytes: Uint8Array, at?: number, length?: number): number;
  /** madvise(MADV_HUGEPAGE) on the bytes of `target`. An older addon may lack it. */
  hugePages?(target: Uint8Array): number;
  /** sched_setaffinity(2): the calling thread runs on this CPU and no other. An older addon may lack it. */
  pin?(cpu: number): number;
  /** Second field of /proc/…/schedstat that `fd` is open for: run_delay of that thread, ns. An older addon may lack it. */
  runDelay?(fd: number): number;
  close(fd: number): number;
}

/** [offset, bytes, offset, bytes, …]: where in a structure the addresses of which bytes are to be written. */
export type Pointers = readonly (number | Uint8Array)[];

export type NativeLoad = { ok: true; native: Native } | { ok: false; reason: string };

/** What builds the addon, from the folder of the project that it is for. */
const BUILD = import.meta.url.includes('/node_modules/')
  ? 'npm run build:native --prefix node_modules/etherloom'
  : 'npm run build:native';

function load(): NativeLoad {
  if (process.platform !== 'linux')
    return { ok: false, reason: `kernel features need Linux, this is ${process.platform}` };
  // The same relative place from host/native (tsx) and dist/native (built).
  const file = fileURLToPath(new URL('../../build/etherloom.node', import.meta.url));
  if (!existsSync(file))
    return { ok: false, reason: `native addon not built: run ${BUILD} (needs a C compiler)` };
  try {
    const native = createRequire(import.meta.url)(file) as Native;
    // An addon of an older version has bpf and close only.
    if (typeof native.setns !== 'function')
      return { ok: false, reason: `native addon is older than this version: run ${BUILD}` };
    return { ok: true, native };
  } catch (error) {
    return { ok: false, reason: `native addon does not load: ${(error as Error).message.split('\n')[0]}` };
  }
}

let loaded: NativeLoad | undefined;

/** Loads the addon once. */
export function native(): NativeLoad {
  return (loaded ??= load());
}
