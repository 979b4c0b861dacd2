import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: built package');
const dist = new URL('../../dist/', import.meta.url);

test(
  'worker lanes run from the built JavaScript under plain node, without tsx',
  () => {
    const script = `
    import { Engine } from '${new URL('engine/engine.js', dist).href}';
    import { HostNic } from '${new URL('nic/index.js', dist).href}';
    const nic = new HostNic({ queues: 2 });
    const engine = await Engine.create({ nics: [nic], lanes: 2, frames: 256, mapBytes: 4096 });
    await engine.start();
    for (let i = 0; i < 100; i++) nic.send(new Uint8Array(64).fill(i), i % 2);
    let n = 0;
    await engine.idle({ each: () => { n += engine.receive().length; }, timeoutMs: 10000 });
    const { ledger } = await engine.stop();
    console.log(JSON.stringify([n, ledger.free]));`;
    const env = { ...process.env };
    delete env.NODE_OPTIONS;
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      env,
      encoding: 'utf8',
    });
    assert.equal(JSON.parse(out), [100, 256]);
  },
  {
    missing: existsSync(new URL('engine/lane_worker.js', dist))
      ? undefined
      : 'dist/ is not built: npm run build',
  },
);
