/** What the benches of TCP do with their hosts before they hand connections over: options, waiting, rings. */
import type { StreamEnd } from '../../../host/streams/stream_end.js';
import type { TcpEngine } from '../../../tests/tcp/engine.js';
import { OptionFlag, type TcpOptions } from '../../../tests/tcp/options.js';

/** EngineOptions.hangMs of engines that stand still while others are measured. */
export const HOUR_MS = 3_600_000;
const CUBIC = 1;
const LIMIT_MS = 5000;

/** Options of both ends: the kernel's default congestion control, no Nagle, rings of so many bytes. */
export const wish = (ring: number): Partial<TcpOptions> => ({
  ...{ flags: OptionFlag.NODELAY, algorithm: CUBIC, sndBytes: ring, rcvBytes: ring },
});

/** Lets the hosts' applications hear until `look` finds something. @throws Error after 5 s, saying `what` */
export async function until<T>(
  hosts: readonly TcpEngine[],
  look: () => T | undefined,
  what: () => string,
): Promise<T> {
  for (const late = performance.now() + LIMIT_MS; ; ) {
    for (const host of hosts) {
      host.app.flush();
      host.take();
    }
    const found = look();
    if (found !== undefined) return found;
    if (performance.now() > late)
      throw new Error(`${what()}: ${JSON.stringify(hosts.map(host => host.counters()))}`);
    await new Promise(done => setTimeout(done, 1));
  }
}

/** Send rings are made when they are first asked for: here, before the clock runs. */
export async function ringOf(host: TcpEngine, end: StreamEnd): Promise<void> {
  await until(
    [host],
    () => end.room || undefined,
    () => `stream ${end.id} has no ring`,
  );
}
