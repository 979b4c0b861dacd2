/**
 * iperf3's protocol, both ends, as far as one TCP stream without options needs it: a control connection that starts with a
 * cookie and then says states in bytes and settings in JSON behind their length, and a data connection with the same cookie.
 *
 *   client: cookie ─▶              ◀─ PARAM_EXCHANGE    params ─▶   ◀─ CREATE_STREAMS   [data connection: cookie ─▶]
 *           ◀─ TEST_START, TEST_RUNNING    data    TEST_END ─▶    ◀─ EXCHANGE_RESULTS  results ─▶ ◀─ results
 *           ◀─ DISPLAY_RESULTS    IPERF_DONE ─▶
 */
import { randomBytes } from 'node:crypto';
import type { OurConnection, OurHost } from './our.js';

const State = {
  TEST_START: 1,
  TEST_RUNNING: 2,
  TEST_END: 4,
  PARAM_EXCHANGE: 9,
  CREATE_STREAMS: 10,
  EXCHANGE_RESULTS: 13,
  DISPLAY_RESULTS: 14,
  IPERF_DONE: 16,
} as const;
/** 36 letters and a zero. */
const COOKIE_BYTES = 37;
const BLOCK = Buffer.alloc(1 << 17, 'etherloom');

/** What one of our ends moved. */
export interface Moved {
  bytes: number;
  seconds: number;
}

/** Reads of a connection in pieces of known length. */
class Reader {
  #held = Buffer.alloc(0);

  constructor(readonly connection: OurConnection) {}

  async bytes(n: number): Promise<Buffer> {
    const into = Buffer.alloc(65536);
    while (this.#held.length < n) {
      const got = await this.connection.read(into);
      if (!got) throw new Error(`iperf3: the connection ended after ${this.#held.length} of ${n} bytes`);
      this.#held = Buffer.concat([this.#held, into.subarray(0, got)]);
    }
    const out = this.#held.subarray(0, n);
    this.#held = this.#held.subarray(n);
    return out;
  }

  async state(): Promise<number> {
    return (await this.bytes(1)).readInt8();
  }

  async expect(state: number): Promise<void> {
    const got = await this.state();
    if (got !== state) throw new Error(`iperf3: state ${got} instead of ${state}`);
  }

  async json(): Promise<Record<string, unknown>> {
    const length = (await this.bytes(4)).readUInt32BE();
    return JSON.parse(`${await this.bytes(length)}`);
  }
}

const say = (c: OurConnection, state: number): Promise<void> => c.write(Uint8Array.of(state));

function sayJson(c: OurConnection, value: unknown): Promise<void> {
  const text = Buffer.from(JSON.stringify(value));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return c.write(Buffer.concat([length, text]));
}

function results(m: Moved): unknown {
  const stream = { id: 1, bytes: m.bytes, retransmits: -1, jitter: 0, errors: 0, packets: 0 };
  return {
    ...{ cpu_util_total: 0, cpu_util_user: 0, cpu_util_system: 0, sender_has_retransmits: 0 },
    streams: [{ ...stream, start_time: 0, end_time: m.seconds }],
  };
}

/** Writes until `over`; at that time the other end may have stopped reading in the middle. */
async function pour(c: OurConnection, over: Promise<unknown>): Promise<Moved> {
  const began = performance.now();
  const moved: Moved = { bytes: 0, seconds: 0 };
  let going = true;
  void (async () => {
    while (going) {
      await c.write(BLOCK);
      moved.bytes += BLOCK.length;
    }
  })().catch(() => {});
  await over;
  going = false;
  moved.seconds = (performance.now() - began) / 1000;
  return moved;
}

/** Takes in whatever comes until the end. */
async function drain(c: OurConnection, moved: Moved): Promise<void> {
  const into = Buffer.alloc(1 << 20);
  const began = performance.now();
  for (;;) {
    const n = await c.read(into).catch(() => 0);
    if (!n) return;
    moved.bytes += n;
    moved.seconds = (performance.now() - began) / 1000;
  }
}

/** One test of `iperf3 -c` against our listener, which listens already; the client's -R makes us send. */
export async function iperfServer(host: OurHost): Promise<Moved> {
  const control = await host.accept();
  const reader = new Reader(control);
  await reader.bytes(COOKIE_BYTES);
  await say(control, State.PARAM_EXCHANGE);
  const { reverse } = await reader.json();
  await say(control, State.CREATE_STREAMS);
  const data = await host.accept();
  await new Reader(data).bytes(COOKIE_BYTES);
  await say(control, State.TEST_START);
  await say(control, State.TEST_RUNNING);
  const ended = reader.expect(State.TEST_END);
  let moved: Moved = { bytes: 0, seconds: 0 };
  if (reverse) moved = await pour(data, ended);
  else void drain(data, moved);
  await ended;
  // The client reads whole blocks until the end, then answers.
  data.shutdown();
  await say(control, State.EXCHANGE_RESULTS);
  await reader.json();
  await sayJson(control, results(moved));
  await say(control, State.DISPLAY_RESULTS);
  await reader.expect(State.IPERF_DONE);
  data.close();
  control.shutdown();
  await control.read(Buffer.alloc(16)).catch(() => 0);
  control.close();
  return moved;
}

/** One test against `iperf3 -s` on the kernel's side. */
export async function iperfClient(
  host: OurHost,
  port: number,
  { seconds = 2, reverse = false } = {},
): Promise<Moved> {
  const control = await host.connect(port);
  const reader = new Reader(control);
  const cookie = Buffer.from(`${randomBytes(18).toString('hex')}\0`);
  await control.write(cookie);
  await reader.expect(State.PARAM_EXCHANGE);
  const params = { tcp: true, omit: 0, time: seconds, parallel: 1, len: 131072, client_version: '3.12' };
  await sayJson(control, reverse ? { ...params, reverse } : params);
  await reader.expect(State.CREATE_STREAMS);
  const data = await host.connect(port);
  await data.write(cookie);
  await reader.expect(State.TEST_START);
  await reader.expect(State.TEST_RUNNING);
  const over = host.tick(seconds * 1000);
  let moved: Moved = { bytes: 0, seconds: 0 };
  if (reverse) void drain(data, moved);
  else moved = await pour(data, over);
  await over;
  await say(control, State.TEST_END);
  await reader.expect(State.EXCHANGE_RESULTS);
  await sayJson(control, results(moved));
  await reader.json();
  await reader.expect(State.DISPLAY_RESULTS);
  await say(control, State.IPERF_DONE);
  data.abort();
  control.close();
  return moved;
}
