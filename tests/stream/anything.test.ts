/** Programs may call any kfunc with any numbers, applications may write anything into the words that are theirs. */
import { StreamRequest } from '../../host/layout/layout.gen.js';
import { streamCounters } from '../../host/streams/stream_apps.js';
import { random } from '../support/random.js';
import { assert, suite } from '../support/suite.js';
import { KIB, StreamRig } from './rig.js';

const test = suite('stream: anything');

const EDGES = [
  0, 1, 2, 63, 64, 2047, 2048, 4096, 0xffff, 0x10000, 0x1000000, 0x7fffffff, 0x80000000, 0xffffffff,
];
const WRITABLE = ['sndEnd', 'rcvRead', 'sndWanted', 'released', 'requests', 'events'] as const;

test('any calls in two lanes, any doorbells and any cursors conserve memory and numbers, and touch nothing else', () => {
  for (let seed = 1; seed <= 12; seed++) {
    const rig = new StreamRig({ lanes: 2, count: 64, bytes: 160 * KIB, apps: 3, slots: 16 });
    const apps = [rig.apps.open(), rig.apps.open()];
    const next = random(seed);
    const any = (): number => (next() % 3 ? EDGES[next() % EDGES.length] : next() >>> (next() % 32));
    const id = (): number => (next() % 8 ? next() % 64 : any());
    const { header, u8 } = rig.arena;
    const foreign = (): Buffer =>
      Buffer.concat([
        u8.subarray(header.mapsAt, header.mapsAt + header.mapsBytes),
        // Every frame but that of the packet.
        u8.subarray(header.packetAt + 4096, header.packetAt + header.packetBytes),
      ]);
    u8.fill(0x3c, header.packetAt + 4096, header.packetAt + header.packetBytes);
    const before = foreign();
    for (let step = 0; step < 20_000; step++) {
      const x = rig.lane(next() & 1);
      switch (next() % 16) {
        case 0:
          x.el_stream_open(next() % 4 ? next() % 4 : any(), any() % 20_000, any() % 20_000);
          break;
        case 1:
          if (next() % 2) x.el_stream_free(id());
          break;
        case 2:
          x.el_stream_route(id(), any(), any());
          break;
        case 3:
        case 4:
          x.el_stream_fetch(rig.ctx, any(), id(), any(), any());
          break;
        case 5:
        case 6:
          x.el_stream_place(rig.ctx, any() % 70, id(), any(), any() % 70);
          break;
        case 7:
          x.el_stream_acked(id(), any());
          break;
        case 8:
          x.el_stream_received(id(), any());
          break;
        case 9:
          x.el_stream_snd_end(id());
          x.el_stream_rcv_limit(id());
          x.el_stream_requests(id());
          break;
        case 10:
          x.el_stream_event(id(), any());
          break;
        case 11:
          x.el_ready(id());
          break;
        case 12:
          Object.assign(rig.record(1 + (next() % 63)), { [WRITABLE[next() % WRITABLE.length]]: any() });
          break;
        case 13: {
          const s = next() % 64;
          apps[next() & 1].door(
            next() & 1,
            next() % 4 ? s : any(),
            next() % 4 ? rig.record(s).generation : any(),
          );
          break;
        }
        case 14:
          for (const app of apps)
            app.take(end => {
              end.write(new Uint8Array(any() % 3000));
              end.read(new Uint8Array(any() % 3000));
              if (next() % 4 === 0) end.request(any() & StreamRequest.MASK);
              if (next() % 8 === 0) end.release();
            });
          break;
        default:
          rig.turn();
          x.loop_run(1, 0);
      }
      if (step % 1000 === 999) rig.conserved();
    }
    assert.ok(foreign().equals(before), `seed ${seed}`);
    rig.settle();
    const { open, closed } = rig.conserved();
    const [a, b] = [streamCounters(rig.arena, 0), streamCounters(rig.arena, 1)];
    assert.ok(
      a.freed > 30 &&
        b.freed > 30 &&
        a.refused + b.refused + a.small + b.small > 0 &&
        a.foreign > 0 &&
        a.stale > 0,
      JSON.stringify({ a, b }),
    );
    assert.is(a.opened + b.opened, a.freed + b.freed + open + closed);
  }
});
