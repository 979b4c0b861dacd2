/**
 * A process with an engine without a stack, whose lanes are threads. argv: `runs`: nothing else keeps it alive, it says so after
 * a while and ends; `unref`: it ends by itself; `exit`: it ends by process.exit while its lanes run.
 */
import { Engine, HostNic } from '../../dist/index.js';

const what = process.argv[2];
const nic = new HostNic({ name: 'nic' });
const engine = await Engine.create({ nics: [nic], lanes: 2, frames: 512 });
await engine.start();
if (what === 'runs')
  setTimeout(async () => {
    await engine.stop();
    process.stdout.write('ran');
  }, 500).unref();
else if (what === 'unref') engine.unref();
else setTimeout(() => process.exit(7), 100);
process.on('exit', () => process.stdout.write(` ${engine.state}`));
