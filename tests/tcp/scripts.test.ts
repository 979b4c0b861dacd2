/** The scripts of tests/conformance/tcp, which the kernel passes, played on our TCP in an engine in virtual time. */
import { play } from '../conformance/tcp/runner.js';
import { allScripts } from '../conformance/tcp/scripts/index.js';
import { VirtualDriver } from '../conformance/tcp/virtual/driver.js';
import { assert, suite } from '../support/suite.js';
import { EngineCore } from './core.js';
import { SocketHost } from './sockets.js';

const test = suite('tcp: scripts');

test(
  'our TCP does what every script says',
  async () => {
    const core = await EngineCore.create();
    const driver = new VirtualDriver('etherloom', setup => new SocketHost(setup, core.begin(setup)));
    const failed: string[] = [];
    const all = allScripts();
    for (const script of all) {
      const { failure } = await play(script, driver);
      if (failure !== undefined) failed.push(`${script.topic}: ${script.claim}\n${failure}`);
    }
    assert.is(failed.length, 0, failed.slice(0, 5).join('\n\n'));
    assert.ok(all.length > 380);
    await core.tcp.engine.stop();
  },
  { timeoutMs: 120_000 },
);
