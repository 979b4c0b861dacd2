/**
 * Node's dgram as a peer in a namespace. Argument: JSON.
 *   { serve: PORT }                    says every datagram again, over both families
 *   { ask: [ADDRESS, PORT], count }    sends datagrams of many sizes, one at a time, prints how many came back the same
 *   { dns: PORT, names: { NAME: A } }  answers queries for A records (RFC 1035), NXDOMAIN for others
 */
import dgram from 'node:dgram';

const asked = JSON.parse(process.argv[2]);

function serve(port, answer) {
  const socket = dgram.createSocket('udp6');
  socket.on('message', (m, { port: to, address }) => {
    const a = answer(m);
    if (a) socket.send(a, to, address);
  });
  socket.bind(port, () => console.log('ready'));
}

/** The answer to one question, which is said again in it. */
function dns(names, query) {
  const labels = [];
  let at = 12;
  while (query[at] !== 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
    at += query[at] + 1;
  }
  const question = query.subarray(12, at + 5);
  const address = names[labels.join('.')];
  const head = Buffer.from(query.subarray(0, 12));
  head.writeUInt16BE(address ? 0x8180 : 0x8183, 2);
  head.writeUInt16BE(address ? 1 : 0, 6);
  head.writeUInt32BE(0, 8);
  const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...(address ?? '').split('.').map(Number)];
  return Buffer.concat([head, question, Buffer.from(address ? record : [])]);
}

async function ask([address, port], count) {
  const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
  let same = 0;
  for (let i = 0; i < count; i++) {
    const data = Buffer.alloc((i * 37) % 1400, i);
    for (let attempt = 0; attempt < 5; attempt++) {
      const answer = new Promise(done => {
        const timer = setTimeout(() => done(undefined), 300);
        socket.once('message', m => {
          clearTimeout(timer);
          done(m);
        });
      });
      socket.send(data, port, address);
      if ((await answer)?.equals(data)) {
        same++;
        break;
      }
      socket.removeAllListeners('message');
    }
  }
  socket.close();
  console.log(JSON.stringify({ same }));
}

if (asked.serve) serve(asked.serve, m => m);
else if (asked.dns) serve(asked.dns, m => dns(asked.names, m));
else await ask(asked.ask, asked.count);
