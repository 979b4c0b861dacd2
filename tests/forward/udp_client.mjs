// Sends datagrams of the lengths given, one at a time, and says how many bytes of each came back as they were.
// node udp_client.mjs ADDRESS PORT LENGTH …
import { createSocket } from 'node:dgram';

const [address, port, ...lengths] = process.argv.slice(2);
const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
const echoed = data =>
  new Promise(resolve => {
    const late = setTimeout(() => resolve(-1), 5000);
    socket.once('message', answer => {
      clearTimeout(late);
      resolve(Buffer.compare(answer, data) === 0 ? answer.length : -2);
    });
    socket.send(data, Number(port), address);
  });
const seen = [];
for (const length of lengths) seen.push(await echoed(Buffer.alloc(Number(length), `${length}`)));
console.log(seen.join(' '));
socket.close();
