/** An inline engine as the host of a script: packets, virtual time. Its program sends everything back as it came. */
import { Engine } from '../../../host/engine/engine.js';
import { HostNic } from '../../../host/nic/index.js';
import { verdict } from '../../support/programs.js';
import { assert, suite } from '../../support/suite.js';
import type { Answer } from './driver.js';
import { play } from './runner.js';
import type { Script } from './script.js';
import { VirtualDriver } from './virtual/driver.js';
import { InlineHost } from './virtual/inline.js';

const test = suite('conformance: tcp over an inline engine');
const XDP_TX = 3;

class Mirror extends InlineHost {
  call(): Omit<Answer, 'at'> {
    return {};
  }
}

/** `delayMs`: of the link, each way. */
const mirror = (delayMs: number): VirtualDriver =>
  new VirtualDriver('mirror', async () => {
    const nic = new HostNic({ link: { delayNs: delayMs * 1e6 } });
    const engine = await Engine.create({ nics: [nic], inline: true, clock: 'virtual', frames: 1024 });
    engine.attach(await engine.load(verdict(XDP_TX)), nic.name);
    await engine.start();
    return new Mirror(engine, nic);
  });

/** The mirror's answer names the script as its destination and sender at once, so only times and bytes are looked at. */
const reflected = (delayMs: number, family: 4 | 6): Script => ({
  topic: 'inline',
  claim: 'mirror',
  options: { rfc: '0 §0', family },
  play: async t => {
    t.send('SYN', { mss: 1000 });
    const start = await t.host.now();
    const { packet, at } = await arrival(t.host, start + 1000);
    assert.is(at - start, 2 * delayMs);
    assert.is(packet[0] >> 4, family);
    assert.is(packet.length, (family === 4 ? 20 : 40) + 24);
    await t.sleep(5000);
    assert.is((await t.host.now()) - start, 5000 + 2 * delayMs);
  },
});

async function arrival(
  host: Parameters<Script['play']>[0]['host'],
  until: number,
): Promise<{ at: number; packet: Uint8Array }> {
  if (host.arrived.length === 0) await host.pass(until);
  const first = host.arrived.shift();
  if (!first) throw new Error('nothing came back');
  return first;
}

for (const [family, delayMs] of [
  [4, 0],
  [4, 20],
  [6, 7.5],
] as const)
  test(`packets pass an engine, IPv${family}, and ${delayMs} ms each way are ${2 * delayMs} ms of virtual time`, async () => {
    const started = Date.now();
    const { failure } = await play(reflected(delayMs, family), mirror(delayMs));
    assert.is(failure, undefined, failure);
    assert.ok(Date.now() - started < 4000, 'virtual time was waited for');
  });
