/** The NICs of an engine, opened and closed together: when one cannot be opened none stays open. */
import type { Nic, NicEnv } from '../nic/nic.js';
import type { Port } from '../nic/port.js';

/** Opens every NIC, as ports 1 … n. @throws what the first that fails throws; those before it are closed again */
export function openNics(nics: readonly Nic[], env: Omit<NicEnv, 'ifindex'>): Port[] {
  const ports: Port[] = [];
  try {
    for (const [i, nic] of nics.entries()) ports.push(nic.open({ ...env, ifindex: i + 1 }));
    for (const nic of nics) nic.connect?.();
    return ports;
  } catch (error) {
    for (const nic of nics.slice(0, ports.length)) void nic.close();
    throw error;
  }
}

/** Closes every NIC, then throws what the first threw. */
export async function closeNics(nics: readonly Nic[]): Promise<void> {
  const closed = await Promise.allSettled(nics.map(async nic => nic.close()));
  const failed = closed.find(c => c.status === 'rejected');
  if (failed) throw failed.reason;
}
