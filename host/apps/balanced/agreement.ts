/** Whether the stages tell the same story: what one sent is what the next one saw, to the packet. */
import type { WebReport } from './web.js';

/** Where what one stage counted is not what the next one did. Without a client of our own nobody knows what was sent. */
export function disagreements({ client, edge, servers }: WebReport): string[] {
  const faults: string[] = [];
  const same = (what: string, got: unknown, expected: unknown): void => {
    if (got !== expected) faults.push(`${what}: ${got}, expected ${expected}`);
  };
  if (!client) return faults;
  const { firewall, balancer, router } = edge;
  for (const { name, status, sha256, expected } of client.fetched) {
    same(`status of ${name}`, status, 200);
    same(`SHA-256 of ${name}`, sha256, expected);
  }
  same('answer to the client who is denied', client.denied.answer, undefined);
  if (firewall.denied === 0) faults.push('the firewall dropped nothing of the client who is denied');
  same('packets that the firewall saw', firewall.passed + firewall.denied, client.out);
  same('packets to backends', balancer.toBackend, firewall.passed);
  same('segments that servers received', servers.in, balancer.toBackend);
  same('packets to the client', balancer.toClient, servers.out);
  same('segments that the client received', client.in, balancer.toClient);
  same('packets that the router forwarded', router.forwarded, balancer.toBackend + balancer.toClient);
  same('packets without a route or a backend', router.noRoute + balancer.noBackend, 0);
  for (const [i, { address, connections, statuses }] of servers.backends.entries()) {
    same(`connections of ${address}`, connections, balancer.backends[i].connections);
    same(`answers 200 of ${address}`, statuses[200] ?? 0, connections);
  }
  const connections = balancer.backends.reduce((n, b) => n + b.connections, 0);
  same('connections that the balancer knows', connections, client.fetched.length);
  return faults;
}
