/** Transports are put in, upgraded and taken out while traffic of others flows: none of it is lost, none of it waits. */
import type { Datagram } from '../../host/net/burst/datagram.js';
import type { DatagramSocket } from '../../host/net/burst/datagram_socket.js';
import { AT, until, type Wired, wired } from '../stack/rig.js';
import { assert, suite } from '../support/suite.js';
import { OBJECT, Receiver, Sender, transfer, windowTransport } from './rig.js';

const test = suite('own: swap');

/** An echo over TCP and one over UDP, which go on as long as hosts are polled. */
class Traffic {
  echoed = 0;
  readonly #answered = new Set<number>();
  #asked = 0;
  readonly #client: DatagramSocket;
  readonly #server: DatagramSocket;
  readonly #batch: Datagram[] = [];

  constructor({ a, b }: Wired) {
    const into = new Uint8Array(4096);
    b.onAccept = c => e => {
      if (e.readable) c.write(into.subarray(0, c.read(into)));
    };
    b.stack.burst.listen({ port: 7 });
    const c = a.connect({ host: AT.b[4], port: 7 }, e => {
      if (!e.connected && !e.readable) return;
      this.echoed += c.read(into);
      c.write(new Uint8Array(1000));
    });
    this.#server = b.stack.burst.bind({ port: 53 });
    this.#client = a.stack.burst.bind();
    this.#client.connect(AT.b[4], 53);
  }

  /** Datagrams that were not answered. */
  get missing(): number {
    return this.#asked - this.#answered.size;
  }

  get answered(): number {
    return this.#answered.size;
  }

  /** Answers, and asks once more when all was answered. */
  go(ask = true): void {
    for (const d of this.#batch.slice(0, this.#server.receive(this.#batch))) this.#server.send(d.data, d);
    for (const d of this.#batch.slice(0, this.#client.receive(this.#batch)))
      this.#answered.add(Buffer.from(d.data).readUInt32LE());
    // One at a time: virtual time passes only where all rests.
    if (!ask || this.missing > 0) return;
    const bytes = Buffer.alloc(64);
    bytes.writeUInt32LE(this.#asked);
    if (this.#client.send(bytes)) this.#asked++;
  }
}

for (const [where, engine] of [
  ['in virtual time', {}],
  ['on two worker lanes', { inline: false, clock: 'real', lanes: 2 } as const],
] as const)
  test(
    `${where}: put in and taken out, again and again, under TCP and UDP`,
    () =>
      wired(
        async w => {
          const { a, b } = w;
          const hosts = [a, b];
          const traffic = new Traffic(w);
          const go = (more: () => boolean) =>
            until(hosts, () => {
              traffic.go();
              for (const host of hosts) host.stack.burst.flush();
              return more();
            });
          await go(() => traffic.echoed > 5000 && traffic.answered > 5);
          for (let round = 0; round < 10; round++) {
            const handles = [await a.stack.load(windowTransport()), await b.stack.load(windowTransport())];
            const receiver = new Receiver(b.stack.burst.bind({ port: 9, transport: 'window' }));
            const socket = a.stack.burst.bind({ transport: 'window' });
            const sender = new Sender(socket, { address: AT.b[4], port: 9 }, 50);
            await go(() => {
              sender.more();
              receiver.take();
              return receiver.total === 50;
            });
            const [echoed, answered] = [traffic.echoed, traffic.answered];
            for (const handle of handles) await handle.close();
            await go(() => traffic.echoed > echoed + 3000 && traffic.answered > answered + 3);
          }
          await until(hosts, () => {
            traffic.go(false);
            for (const host of hosts) host.stack.burst.flush();
            return traffic.missing === 0;
          });
          for (const { stack } of hosts) {
            assert.is(stack.counters().RetransSegs, undefined);
            assert.is(stack.counters('datagrams').InErrors, undefined);
          }
        },
        { engine },
      ),
    { timeoutMs: 120_000 },
  );

for (const loss of [0, 0.02])
  test(`upgraded under datagrams, with a loss of ${loss * 100} %: each once and in order, ${loss ? 'whatever the wire does' : 'nothing sent again'}`, () =>
    wired(
      async ({ engine, a, b }) => {
        const handle = await a.stack.load(windowTransport());
        await b.stack.load(windowTransport());
        const receiver = new Receiver(b.stack.burst.bind({ port: 7, transport: 'window' }));
        const socket = a.stack.burst.bind({ transport: 'window' });
        const sender = new Sender(socket, { address: AT.b[4], port: 7 }, 600);
        const states = engine.transports.list().filter(({ name }) => name === 'window');
        for (let round = 1; round <= 10; round++) {
          await until([a, b], () => {
            sender.more();
            for (const host of [a, b]) host.stack.burst.flush();
            receiver.take();
            return receiver.total >= round * 50;
          });
          const report = await engine.transports.upgrade(`${states[round & 1].stack}/window`, OBJECT);
          assert.ok(report.generation > 1);
        }
        await transfer([a, b], [sender], [receiver]);
        assert.is(receiver.total, 600);
        assert.is(handle.counters().OutDatagrams, 600);
        if (!loss) assert.is(handle.counters().OutAgain, undefined);
      },
      { link: { loss } },
    ));
