/** A folder behind firewall, balancer and router: whatever one stage counts that the next one did not see is said. */
import { disagreements } from '../../host/apps/balanced/agreement.js';
import { BACKENDS } from '../../host/apps/balanced/edge.js';
import type { WebReport } from '../../host/apps/balanced/web.js';
import { assert, suite } from '../support/suite.js';

const test = suite('apps: behind firewall and balancer');

/** Two files, each from a backend of its own. */
function good(): WebReport {
  const file = { status: 200, bytes: 1000, sha256: 'aa', expected: 'aa' };
  const of = (i: number): number => (i < 2 ? 1 : 0);
  return {
    client: {
      ...{ address: '10.10.0.9', in: 20, out: 13, again: 0, ms: 5 },
      fetched: ['a', 'b'].map(name => ({ name, ...file })),
      denied: { address: '10.10.0.14', answer: undefined },
    },
    edge: {
      firewall: { passed: 12, denied: 1 },
      balancer: {
        ...{ toBackend: 12, toClient: 20, opened: 2, noBackend: 0 },
        backends: BACKENDS.map((address, i) => ({ address, connections: of(i), packets: 6 * of(i) })),
      },
      router: { forwarded: 32, noRoute: 0 },
    },
    servers: {
      ...{ in: 12, out: 20, again: 0 },
      backends: BACKENDS.map((address, i) => ({ address, connections: of(i), statuses: { 200: of(i) } })),
    },
    faults: [],
  };
}

test('stages that agree to the packet have no fault', () => {
  assert.equal(disagreements(good()), []);
});

const SPOILT: Record<string, [spoil: (r: WebReport) => void, said: RegExp]> = {
  'another body': [r => (r.client!.fetched[1].sha256 = 'bb'), /^SHA-256 of b: bb, expected aa$/],
  'another status': [r => (r.client!.fetched[0].status = 404), /^status of a: 404/],
  'a client who should have been denied': [r => (r.client!.denied.answer = 'connected'), /denied: connected/],
  'a firewall that dropped nothing': [r => (r.edge.firewall = { passed: 13, denied: 0 }), /dropped nothing/],
  'a packet before the firewall': [r => r.client!.out++, /firewall saw: 13, expected 14/],
  'a packet between firewall and balancer': [r => r.edge.firewall.passed++, /packets to backends: 12/],
  'a packet on the way to servers': [r => r.servers.in--, /servers received: 11, expected 12/],
  'a packet on the way back': [r => r.client!.in--, /client received: 19, expected 20/],
  'a packet that servers sent': [r => r.servers.out++, /packets to the client: 20, expected 21/],
  'a packet that the router lost': [r => r.edge.router.forwarded--, /router forwarded: 31, expected 32/],
  'a packet without a route': [r => r.edge.router.noRoute++, /without a route or a backend: 1/],
  'a connection that no server has': [
    r => r.servers.backends[0].connections--,
    /connections of 10\.20\.0\.1: 0/,
  ],
  'an answer that was none': [
    r => (r.servers.backends[1].statuses = { 500: 1 }),
    /answers 200 of 10\.20\.0\.2: 0/,
  ],
  'one connection for two files': [
    r => r.edge.balancer.backends[0].connections++,
    /that the balancer knows: 3, expected 2/,
  ],
};
for (const [what, [spoil, said]] of Object.entries(SPOILT))
  test(`${what} is said`, () => {
    const report = good();
    spoil(report);
    const faults = disagreements(report);
    assert.ok(
      faults.some(fault => said.test(fault)),
      faults.join('; '),
    );
  });

test('without a client of our own nobody knows what was sent', () => {
  const { client: _, ...outside } = good();
  outside.servers.in--;
  assert.equal(disagreements(outside), []);
});
