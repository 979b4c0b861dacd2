/** A process that reflects on an AF_XDP port until it is killed: node holder.ts OPTIONS. */
import { afXdp } from '../../../host/nic/index.js';
import { reflecting } from './rig.js';

await reflecting([afXdp(JSON.parse(process.argv[2]))]);
console.log('ready');
// Lanes do not keep a process alive.
setInterval(() => {}, 1000);
