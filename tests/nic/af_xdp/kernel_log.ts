/** Warnings that the kernel logs meanwhile: a driver or a socket that was handled wrongly shows there first. */
import { spawnSync } from 'node:child_process';

/** What no event of a test's own making brings about. */
const BAD =
  /WARNING:|BUG:|Oops|Call Trace|refcount|use-after-free|hung_task|soft lockup|unregister_netdevice: waiting|page_pool_release_retry|kmemleak/;

const lines = (): string[] | undefined => {
  const ran = spawnSync('dmesg', ['--raw'], { encoding: 'utf8', maxBuffer: 64 << 20 });
  return ran.status === 0 ? ran.stdout.split('\n') : undefined;
};

export class KernelLog {
  /** The last line before. */
  private readonly last: string | undefined;

  constructor() {
    this.last = lines()?.filter(Boolean).at(-1);
  }

  /** Why it cannot be read; undefined when it can. */
  get missing(): string | undefined {
    return lines() ? undefined : 'dmesg cannot be read here';
  }

  /** Bad lines since the beginning. */
  warnings(): string[] {
    const now = lines() ?? [];
    // Not found: the buffer has wrapped round, and everything in it is new.
    return now.slice(now.lastIndexOf(this.last ?? '') + 1).filter(l => BAD.test(l));
  }
}
