/** Datagrams of the soak: volleys of all lengths that an echo sends back. What is lost is counted, nothing comes twice or changed. */
import type dgram from 'node:dgram';
import { once } from 'node:events';
import { bytesOf, type Counted, MOST, PORTS, Workers } from './load.js';

export type Dgram = Pick<typeof dgram, 'createSocket'>;

/** Where a load calls from, and whether somebody on the way could not answer at some time since `from`. */
export interface DatagramsFrom {
  dgram: Dgram;
  host: string;
  seed: number;
  outage(from: number): boolean;
}

/** Longest payload of a packet on Ethernet. */
const LONGEST = 1472;
const HEAD = 8;
/** Datagrams of a volley, and volleys of a socket, at most. */
const VOLLEY = 16;
const VOLLEYS = 20;
/** What has not come back by then is lost, ms. */
const LOST_MS = 3000;

/** Sends back whatever comes. */
export function datagramEcho({ createSocket }: Dgram, errors: string[]): dgram.Socket {
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => socket.send(message, from.port, from.address));
  socket.on('error', error => errors.push(`datagram echo: ${error.message}`));
  return socket.bind(PORTS.echo);
}

/** A datagram that says its number and how its bytes are made. */
function datagram(number: number, seed: number, length: number): Buffer {
  const bytes = Buffer.from(bytesOf(length, seed));
  bytes.writeUInt32LE(number, 0);
  bytes.writeUInt32LE(seed, 4);
  return bytes;
}

export function datagramLoad({ dgram, host, seed, outage }: DatagramsFrom, workers: number): Workers {
  const turn = async (next: () => number, total: Counted): Promise<void> => {
    const socket = dgram.createSocket('udp4');
    let number = 0;
    /** Of the volley under way, by number. */
    const awaited = new Map<number, Buffer>();
    const back = new Set<number>();
    let failed: Error | undefined;
    let whole = (): void => {};
    socket.on('error', error => {
      failed = error;
    });
    socket.on('message', message => {
      const of = message.readUInt32LE(0);
      if (back.has(of)) failed = new Error(`datagram ${of} came twice`);
      back.add(of);
      // One that was given up may come still.
      const sent = awaited.get(of);
      if (!sent) return;
      if (!message.equals(sent)) failed = new Error(`${sent.length} bytes came back as others`);
      awaited.delete(of);
      if (awaited.size === 0) whole();
    });
    total.connections++;
    try {
      for (let volley = 1 + (next() % VOLLEYS); volley > 0 && !failed; volley--) {
        const from = performance.now();
        const all = new Promise<void>(resolve => {
          whole = resolve;
        });
        for (let n = 1 + (next() % VOLLEY); n > 0; n--)
          awaited.set(number, datagram(number++, next() % MOST, HEAD + (next() % (LONGEST - HEAD + 1))));
        const sent = awaited.size;
        for (const bytes of awaited.values()) {
          socket.send(bytes, PORTS.echo, host);
          total.bytes += bytes.length;
        }
        const late = setTimeout(whole, LOST_MS);
        await all;
        clearTimeout(late);
        total.answers += sent - awaited.size;
        total.lost += awaited.size;
        if (!outage(from)) {
          total.calm += sent;
          total.calmLost += awaited.size;
        }
        awaited.clear();
      }
    } finally {
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    }
    if (failed) throw failed;
  };
  return new Workers('udp', workers, seed, turn);
}
