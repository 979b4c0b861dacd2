/** Our TCP and the kernel's on one wire: transfers by the kernel's programs, and what both ends had counted afterwards. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Body, sha256 } from './body.js';
import { CHALLENGES, FAULTS, type KernelCounts } from './counters.js';
import { respond } from './http.js';
import { iperfClient, iperfServer } from './iperf3.js';
import { type OurConnection, OurHost } from './our.js';
import { listening, type PeerName, type PeerResult, type PeerTask, type Role, runPeer } from './peers.js';
import { Wire, type WireSettings } from './wire.js';

/** Whose FIN goes first. `both`: each when it has sent all. */
export type Order = 'both' | 'kernel' | 'ours';

export interface Transfer {
  peer: PeerName | 'curl' | 'iperf3';
  /** The kernel's part. */
  role: Role;
  family?: 4 | 6;
  /** Bytes from the kernel to us, and from us to the kernel; iperf3: which way it sends, for `seconds`. */
  forth: number;
  back: number;
  /** Default both. Programs but node close when they have sent all. */
  order?: Order;
  seconds?: number;
  limitMs?: number;
}

export interface Result {
  ms: number;
  /** Of both directions together. */
  mbitPerS: number;
  /** What is wrong; empty: all bytes arrived as they were sent, and nobody complains. */
  faults: string[];
  /** Retransmissions of both. */
  ours: number;
  kernels: number;
  challenges: number;
  /** By the router, or in its queues. */
  lost: number;
  marked: number;
}

/** Challenge ACKs and the like that chance can explain, for a connection of so many seconds. */
const stormAt = (ms: number): number => 20 + ms / 100;

export class Session {
  #port = 5000;

  private constructor(
    readonly wire: Wire,
    readonly host: OurHost,
    readonly body: Body,
  ) {}

  static async open(settings: WireSettings, body: Body): Promise<Session> {
    const wire = await Wire.create(settings);
    try {
      return new Session(wire, await OurHost.create(wire), body);
    } catch (error) {
      wire.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    try {
      await this.host.close();
    } finally {
      this.wire.close();
    }
  }

  /** Opens a connection to the program, or lets it connect. `done` is what it says in the end. */
  async meet(
    peer: PeerName,
    task: Omit<PeerTask, 'port'>,
  ): Promise<{ connection: OurConnection; done: Promise<PeerResult> }> {
    const port = this.#port++;
    const ran = { done: undefined as unknown as Promise<PeerResult> };
    if (task.role === 'client') {
      this.host.listen(port);
      ran.done = runPeer(peer, this.wire, { ...task, port });
      ran.done.catch(() => {});
      return { connection: await this.host.accept(), ...ran };
    }
    ran.done = runPeer(peer, this.wire, { ...task, port });
    ran.done.catch(() => {});
    await Promise.race([listening(this.wire, port), ran.done]);
    return { connection: await this.host.connect(port, task.family), ...ran };
  }

  /** The port that the last transfer was over. */
  get lastPort(): number {
    return this.#port - 1;
  }

  /** Connections of ours that are left when those which are ending had time to. */
  async settled(): Promise<number> {
    for (let i = 0; i < 1000 && this.host.connections; i++) await this.host.tick(2);
    return this.host.connections;
  }

  /** The kernel's sockets that are neither gone nor in TIME_WAIT, with time to end. */
  async kernelSockets(): Promise<string[]> {
    let left: string[] = [];
    for (let i = 0; i < 50; i++) {
      const { out } = await this.wire.far.run('ss', '-Htan');
      left = out.split('\n').filter(l => l && !l.startsWith('TIME-WAIT') && !l.startsWith('LISTEN'));
      if (!left.length) break;
      await this.host.tick(20);
    }
    return left;
  }

  /** A program of the kernel calls a port of ours: what it is told. */
  async call(port: number): Promise<string | undefined> {
    return (await runPeer('node', this.wire, { role: 'client', port })).error;
  }

  /** Runs it, and compares what both ends have counted. */
  async transfer(t: Transfer): Promise<Result> {
    const { wire, host } = this;
    const [kernel, ours, spoiled] = [await wire.counts(), host.counters(), await wire.spoiled()];
    const began = performance.now();
    const faults: string[] = [];
    let moved = t.forth + t.back;
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_, fail) => {
      const ms = t.limitMs ?? 120_000;
      timer = setTimeout(() => fail(new Error(`nothing after ${ms} ms; ${this.#hangs()}`)), ms);
    });
    let seconds: number | undefined;
    try {
      if (t.peer === 'iperf3') {
        const m = await Promise.race([this.#iperf(t, faults), limit]);
        moved = m.bytes;
        seconds = m.seconds;
      } else if (t.peer === 'curl') await Promise.race([this.#curl(t, faults), limit]);
      else await Promise.race([this.#plain(t, faults), limit]);
    } catch (error) {
      faults.push(`${(error as Error).message}`);
    }
    clearTimeout(timer);
    const ms = performance.now() - began;
    const result = await this.#judge(kernel, ours, spoiled, ms, faults);
    return { ...result, ms, mbitPerS: (moved * 8) / 1e6 / (seconds ?? ms / 1000), faults };
  }

  /** What the flows look like that are still there. */
  #hangs(): string {
    return `${this.host.connections} connections; ${JSON.stringify(this.host.counters())}; ${this.host.describe()}`;
  }

  async #judge(
    kernel: KernelCounts,
    ours: Record<string, number>,
    spoiled: { lost: number; marked: number; queue: number },
    ms: number,
    faults: string[],
  ): Promise<Pick<Result, 'ours' | 'kernels' | 'challenges' | 'lost' | 'marked'>> {
    const { wire, host } = this;
    const [after, mine, now] = [await wire.counts(), host.counters(), await wire.spoiled()];
    const more = (name: string): number => (mine[name] ?? 0) - (ours[name] ?? 0);
    for (const name of FAULTS)
      if (after.rise(kernel, name)) faults.push(`the kernel counts ${after.rise(kernel, name)} ${name}`);
    for (const name of ['InCsumErrors', 'InErrs', 'TCPSACKDiscard'])
      if (more(name)) faults.push(`we count ${more(name)} ${name}`);
    const told = CHALLENGES.flatMap(name => [
      { who: 'the kernel', name, n: after.rise(kernel, name) },
      { who: 'we', name, n: more(name) },
    ]).filter(({ n }) => n > 0);
    const challenges = told.reduce((sum, { n }) => sum + n, 0);
    if (challenges > stormAt(ms))
      faults.push(`a storm: ${told.map(({ who, name, n }) => `${who} ${name} ${n}`).join(', ')}`);
    const lost = now.lost + now.queue - spoiled.lost - spoiled.queue;
    const [again, resent] = [after.rise(kernel, 'RetransSegs'), more('RetransSegs')];
    return { ours: resent, kernels: again, challenges, lost, marked: now.marked - spoiled.marked };
  }

  #compare(what: string, sha: string, bytes: number, faults: string[]): void {
    if (sha !== this.body.sha(bytes)) faults.push(`${what} got other bytes than the ${bytes} that were sent`);
  }

  async #plain(t: Transfer, faults: string[]): Promise<void> {
    const { role, family, forth, back } = t;
    // A listening nc ends with the other end's FIN, whatever it has still to send.
    const { order = t.peer === 'nc' && role === 'server' ? 'kernel' : 'both' } = t;
    const ends = order === 'ours' ? 'received' : 'sent';
    const file = forth ? this.body.file(forth) : undefined;
    const { connection, done } = await this.meet(t.peer as PeerName, { role, family, file, ends });
    const hash = createHash('sha256');
    const into = Buffer.alloc(1 << 20);
    let got = 0;
    /** Where a read began that brought other bytes than were sent. */
    let wrong: number | undefined;
    const reading = (async () => {
      for (let n = 1; n; got += n) {
        n = await connection.read(into);
        const bytes = into.subarray(0, n);
        hash.update(bytes);
        if (wrong === undefined && bytes.compare(this.body.first(forth), got, got + n) !== 0) wrong = got;
      }
    })();
    // Whoever throws first is heard.
    await Promise.all([
      reading,
      (async () => {
        await connection.write(this.body.first(back));
        if (order === 'kernel') await reading;
        connection.shutdown();
      })(),
    ]);
    const { sha, error } = await done;
    await connection.finished();
    connection.close();
    if (hash.digest('hex') !== this.body.sha(forth))
      faults.push(`we got ${got} bytes of ${forth}${wrong === undefined ? '' : `, others from ${wrong} on`}`);
    this.#compare('the kernel', sha, back, faults);
    if (error) faults.push(`${t.peer} says ${error}`);
    const left = await this.settled();
    if (left) faults.push(`${left} connections are left`);
  }

  async #curl(t: Transfer, faults: string[]): Promise<void> {
    const port = this.#port++;
    this.host.listen(port);
    const url = `http://${this.wire.address()}:${port}/`;
    const put = t.forth ? ['-T', this.body.file(t.forth)] : [];
    const file = join(this.body.folder, 'curl');
    const ran = this.wire.far.run('curl', '-sS', '-o', file, ...put, url);
    await respond(await this.host.accept(), this.body.first(t.back));
    const { code, err } = await ran;
    if (code !== 0) faults.push(`curl: ${err}`);
    else if (!t.forth) this.#compare('curl', sha256(readFileSync(file)), t.back, faults);
    // What we answer is the hash of what came.
    else this.#compare('we', readFileSync(file, 'utf8'), t.forth, faults);
  }

  async #iperf(t: Transfer, faults: string[]): Promise<{ bytes: number; seconds: number }> {
    const port = this.#port++;
    const { wire, host } = this;
    const seconds = t.seconds ?? 2;
    if (t.role === 'client') {
      host.listen(port);
      const reverse = t.back ? ['-R'] : [];
      const to = ['-c', wire.address(), '-p', `${port}`, '-t', `${seconds}`, '-J', ...reverse];
      const ran = wire.far.run('iperf3', ...to);
      const moved = await iperfServer(host);
      const { out } = await ran;
      const { error, end } = JSON.parse(out);
      if (error) faults.push(`iperf3: ${error}`);
      else {
        const { bytes } = t.back ? end.sum_received : end.sum_sent;
        // What is under way when the time is over is counted by one end only.
        if (Math.abs(bytes - moved.bytes) > 0.1 * bytes + 4e6)
          faults.push(`iperf3 counts ${bytes} bytes, we ${moved.bytes}`);
      }
      return moved;
    }
    const ran = wire.far.run('iperf3', '-s', '-1', '-p', `${port}`, '-J');
    await listening(wire, port);
    const moved = await iperfClient(host, port, { seconds, reverse: !t.back });
    const { out } = await ran;
    const { error } = JSON.parse(out);
    if (error) faults.push(`iperf3: ${error}`);
    return moved;
  }
}
