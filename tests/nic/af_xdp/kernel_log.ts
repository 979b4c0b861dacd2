/** Warnings that the kernel logs meanwhile: a driver or a socket that was handled wrongly shows there first. */
import { spawnSync } from 'node:child_process';

/** What no event of a test's own making brings about. */
const BAD =
  /WARNING:|BUG:|Oops|Call Trace|refcount|use-after-free|hung_task|soft lockup|unregister_netdevice: waiting|page_pool_release_retry|kmemleak/;

const lines = (): string[] | undefined => {
  const ran = spawnSync('dmesg', ['--raw'], { encoding: 'utf8', maxBuffer: 64 << 20 });
  return ran.status === 0 ? ran.stdout.split('\n').filter(Boolean) : undefined;
};

export class KernelLog {
  /** The last line that was looked at. */
  private last: string | undefined;

  constructor() {
    this.last = lines()?.at(-1);
  }

  /** Why it cannot be read; undefined when it can. */
  get missing(): string | undefined {
    return lines() ? undefined : 'dmesg cannot be read here';
  }

  /** Bad lines since the beginning, or the last call. */
  warnings(): string[] {
    const now = lines() ?? [];
    // Not found: the buffer has wrapped round, and everything in it is new.
    const fresh = now.slice(now.lastIndexOf(this.last ?? '') + 1);
    this.last = fresh.at(-1) ?? this.last;
    return fresh.filter(l => BAD.test(l));
  }
}
