/**
 * Work in another network namespace: a thread is in one, a socket stays in the one that it was made in. Called by the
 * AF_XDP NIC for what must be made there (sockets, links); everything else goes through a socket made there.
 */
import { closeSync, openSync } from 'node:fs';
import { EtherloomError } from '../../errors.js';
import type { Native } from '../../native/load.js';

/**
 * Does `work` with this thread in a namespace: a name of `ip netns`, or a path as /proc/PID/ns/net. Without one, where
 * the thread is. `work` must not wait for anything.
 * @throws EtherloomError ERR_NIC_NETNS, and what `work` throws
 */
export function inNamespace<T>(native: Native, namespace: string | undefined, work: () => T): T {
  if (namespace === undefined) return work();
  const own = openSync('/proc/thread-self/ns/net', 'r');
  let other: number | undefined;
  try {
    other = openNamespace(namespace);
    const rc = native.setns(other);
    if (rc < 0) throw refused(namespace, rc === -1 ? 'CAP_SYS_ADMIN' : 'a network namespace');
    return work();
  } finally {
    native.setns(own);
    closeSync(own);
    if (other !== undefined) closeSync(other);
  }
}

function openNamespace(namespace: string): number {
  try {
    return openSync(namespace.includes('/') ? namespace : `/run/netns/${namespace}`, 'r');
  } catch (cause) {
    throw refused(namespace, 'a name of ip netns list, or a path as /proc/PID/ns/net', cause);
  }
}

const refused = (namespace: string, expected: string, cause?: unknown): EtherloomError =>
  new EtherloomError('ERR_NIC_NETNS', `network namespace ${namespace} cannot be entered`, {
    expected,
    cause,
  });
