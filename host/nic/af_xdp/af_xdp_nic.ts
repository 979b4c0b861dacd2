/**
 * The AF_XDP NIC: an interface of the kernel whose rings lie in the arena.
 *
 *   wire ─▶ xsk_redirect ─┬─ rules ask for it ─▶ socket of the queue ─▶ rx ring ─▶ lane ─▶ tx ring ─▶ wire
 *                         └─ all else ─▶ the kernel (ARP, ICMP, other ports)
 *
 * Queue i has socket i and belongs to lane i mod L; the first socket registers the packet area, the others share it.
 * The host opens, watches and reopens: an interface that is deleted gives its frames back, and is taken again when it is
 * back. Packets pass here only where a wrapper asks for them (relay.ts).
 */
import { EtherloomError } from '../../errors.js';
import { FRAME_SIZE, MAX_QUEUES, PortFlag, PortLayout, PortView } from '../../layout/layout.gen.js';
import type { FrameHolder } from '../../mem/frames.js';
import { native as loadNative, type Native, type NativeLoad } from '../../native/load.js';
import type { DriverPlan } from '../driver.js';
import type { Nic, NicEnv } from '../nic.js';
import { Port } from '../port.js';
import { AllMulticast } from './all_multicast.js';
import { Device } from './device.js';
import { isBusy } from './errors.js';
import { lentFrames, lentTable, reclaim } from './lent.js';
import { type AfXdpOptions, type AfXdpStatus, checkOptions } from './options.js';
import { RedirectProgram, type Seen } from './program.js';
import { Queues } from './queues.js';
import { kernelPort, Relay } from './relay.js';
import { encodeRules, type RedirectRule } from './rules.js';
import type { SocketStats } from './socket.js';
import { MAX_MTU, traps } from './traps.js';

/** A queue that was closed is free again after some 80 ms, and so is an interface whose program goes. */
const BUSY = { stepMs: 50, mostMs: 2000 } as const;
/** How often the interface is looked at, ms; after a failure that is not about time, the second. */
const LOOK_MS = 20;
const REFUSED_MS = 250;

export class AfXdpNic implements Nic {
  readonly kind = 'af_xdp';
  readonly lends = true;
  readonly name: string;
  #env: NicEnv | undefined;
  #port: Port | undefined;
  #device: Device | undefined;
  #program: RedirectProgram | undefined;
  #queues: Queues | undefined;
  /** Moves the packets where the host is to. */
  #relay: Relay | undefined;
  #rules: readonly RedirectRule[];
  /** The lanes run: until then everything is the kernel's. */
  #taking = false;
  #allMulticast: AllMulticast | undefined;
  /** Number of the interface that the sockets are bound to. */
  #boundTo = 0;
  /** Since when somebody else has what it needs; undefined while nobody does. */
  #busySinceMs: number | undefined;
  #lookMs = 0;
  #changing = false;
  #closed = false;
  #reopened = 0;
  #unsent = 0;
  #trouble: string | undefined;
  #seenBefore: Seen | undefined;

  /** @throws EtherloomError ERR_NIC_OPTIONS, ERR_NIC_RULE */
  constructor(
    readonly options: AfXdpOptions,
    /** The addon, or none: for tests of life without it. */
    readonly addon: NativeLoad = loadNative(),
  ) {
    checkOptions(options);
    this.name = options.name ?? options.interface;
    this.#rules = options.rules ?? [];
    encodeRules(this.#rules);
  }

  /** @throws EtherloomError ERR_NIC_UNAVAILABLE, ERR_NIC_MTU, ERR_NIC_<ERRNO>, ERR_KERNEL_* */
  open(env: NicEnv): Port {
    if (this.#port) throw new EtherloomError('ERR_NIC_OPEN', `${this.name} is open already`);
    const native = this.#native();
    this.#env = env;
    try {
      this.#device = new Device(native, this.options.interface, this.options.namespace);
      const queues = this.#checkDevice(this.#device);
      this.#program = RedirectProgram.load();
      lentTable(env.arena);
      const port = this.#makePort(env, this.#device, queues);
      const wire = env.byHost ? kernelPort(env, port) : port;
      this.#queues = new Queues(env, wire, {
        native,
        name: this.name,
        namespace: this.options.namespace,
        slots: this.#slots(env, queues),
        txQueues: this.#device.txQueues,
      });
      if (env.byHost) this.#relay = new Relay(env, port, wire, native);
      this.#attachUnlessBusy();
      this.#follow(port);
      return (this.#port = port);
    } catch (error) {
      this.#letGo();
      throw error;
    }
  }

  #native(): Native {
    if (this.addon.ok) return this.addon.native;
    throw new EtherloomError('ERR_NIC_UNAVAILABLE', `${this.name}: ${this.addon.reason}`, {
      expected: 'the native addon',
    });
  }

  /** Refuses what cannot work; returns the number of queues. */
  #checkDevice(device: Device): number {
    const { name, options } = this;
    if (device.ifindex === 0)
      throw new EtherloomError('ERR_NIC_UNAVAILABLE', `${name}: there is no interface ${options.interface}`, {
        expected: `an interface of ${options.namespace ?? 'this namespace'} (ip link)`,
      });
    if (device.mtu > MAX_MTU)
      throw new EtherloomError(
        'ERR_NIC_MTU',
        `${name} with an MTU of ${device.mtu}: its packets fit no frame of ${FRAME_SIZE} bytes`,
        { expected: `at most ${MAX_MTU}: ip link set ${options.interface} mtu 1500` },
      );
    const most = Math.min(device.queues, MAX_QUEUES);
    const queues = options.queues ?? this.#port?.queueCount ?? most;
    if (!Number.isInteger(queues) || queues < 1 || queues > most)
      throw new EtherloomError('ERR_NIC_OPTIONS', `${queues} queues on ${name}`, {
        expected: `1 … ${most}, as many as the interface has`,
      });
    const sending = this.#queues?.txQueues ?? 1;
    if (device.txQueues < sending)
      throw new EtherloomError('ERR_NIC_OPTIONS', `${device.txQueues} transmit queues on ${name}`, {
        expected: `${sending}, as many as before`,
      });
    return queues;
  }

  #makePort(env: NicEnv, device: Device, queues: number): Port {
    return Port.create(env.arena, {
      name: this.name,
      ifindex: env.ifindex,
      lanes: env.lanes,
      queues,
      ringSlots: env.ringSlots,
      mtu: device.mtu,
      mac: device.mac,
      outside: !env.byHost,
    });
  }

  /** Fill rings may hold half of all frames, shared by the NICs that lend, so that lanes have some to work with. */
  #slots(env: NicEnv, queues: number): number {
    let slots = this.options.ringSlots ?? env.ringSlots;
    if (!Number.isInteger(slots) || slots < 2 || slots > 1 << 20 || slots & (slots - 1))
      throw new EtherloomError('ERR_NIC_OPTIONS', `rings of ${slots} entries on ${this.name}`, {
        expected: 'a power of two from 2 to 1,048,576',
      });
    const share = env.arena.header.frameCount / (2 * queues * env.lenders);
    while (slots > 2 && slots > share) slots /= 2;
    return slots;
  }

  // ── taking and giving back the interface ──────────────────────────────────────────────────────────────────────

  /** Attaches. A queue that somebody has just closed is waited for in `ready`. */
  #attachUnlessBusy(): void {
    try {
      this.#attach();
    } catch (error) {
      if (!isBusy(error)) throw error;
      this.#trouble = (error as Error).message;
    }
  }

  /**
   * Resolves when the sockets are bound: at once, but for what somebody else was letting go of a moment ago, a queue or the
   * interface.
   * @throws EtherloomError ERR_NIC_EBUSY and ERR_KERNEL_HELD after 2 s, and what else attaching throws
   */
  async ready(): Promise<void> {
    for (const until = performance.now() + BUSY.mostMs; !this.#closed && this.#boundTo === 0; ) {
      await new Promise(done => setTimeout(done, BUSY.stepMs));
      try {
        if (!this.#closed) this.#attach();
      } catch (error) {
        if (!isBusy(error)) throw error;
        if (performance.now() > until)
          throw new EtherloomError(error.code, `${error.message}; still so after ${BUSY.mostMs / 1000} s`, {
            cause: error,
          });
      }
    }
  }

  /** Takes packets from now on: before there is nobody to whom they could be given. */
  start(): void {
    this.#taking = true;
    this.#tellRules();
  }

  #tellRules(): void {
    if (this.#taking) this.#program!.setRules(this.#rules, this.options.own ?? false);
  }

  /** Sockets on every queue, and the program that feeds them. While no lane runs. Nothing is left when it throws. */
  #attach(): void {
    const device = this.#device!;
    const program = this.#program!;
    this.#checkDevice(device);
    const ifindex = device.ifindex;
    try {
      const link = program.attach(device.native, this.options.namespace, ifindex, this.options.mode);
      const zeroCopy = (this.options.zeroCopy ?? true) && link.mode === 'native';
      if (this.options.own)
        this.#allMulticast = new AllMulticast(device.native, this.options.namespace, ifindex);
      this.#queues!.open(ifindex, zeroCopy, (queue, fd) => program.setSocket(queue, fd));
    } catch (error) {
      this.#allMulticast?.close();
      program.detach();
      throw error;
    }
    this.#boundTo = ifindex;
    this.#trouble = undefined;
    this.#seenBefore = program.seen;
  }

  /** Sockets closed, frames taken back. While no lane runs. */
  #detach(): void {
    this.#unsent += this.#queues!.unsent;
    this.#allMulticast?.close();
    this.#program!.detach();
    this.#queues!.close();
    const { arena, core, ifindex } = this.#env!;
    reclaim(arena, core, ifindex);
    this.#boundTo = 0;
  }

  readonly pollMs = LOOK_MS;

  poll(): number {
    if (!this.#port || this.#closed) return 0;
    const moved = this.#relayed();
    const now = performance.now();
    if (this.#changing || now < this.#lookMs) return moved;
    this.#lookMs = now + LOOK_MS;
    this.#look();
    return moved;
  }

  /** Packets that the host moved, where that is its part. */
  #relayed(): number {
    if (!this.#relay) return 0;
    if (this.#boundTo !== 0) return this.#relay.poll();
    this.#unsent += this.#relay.discard();
    return 0;
  }

  /** Follows the interface: down and up, deleted and made again. */
  #look(): void {
    const device = this.#device!;
    const ifindex = device.ifindex;
    if (this.#boundTo === 0) {
      if (ifindex !== 0) this.#change(() => this.#reattach());
    } else if (ifindex !== this.#boundTo || this.#queues!.takeError() !== 0) {
      this.#port!.setFlag(PortFlag.UP, false);
      this.#change(() => {
        this.#detach();
        this.#trouble = `there is no interface ${this.options.interface}`;
      });
    } else this.#port!.setFlag(PortFlag.UP, device.up);
  }

  /** The port is what the interface is now. */
  #follow(port: Port): void {
    const device = this.#device!;
    const { arena } = this.#env!;
    arena.u8.set(device.mac, port.at + PortLayout.mac);
    new PortView(arena.dv, port.at).mtu = device.mtu;
    port.setFlag(PortFlag.UP, device.up);
  }

  #reattach(): void {
    try {
      this.#attach();
      this.#follow(this.#port!);
      this.#reopened++;
      this.#busySinceMs = undefined;
    } catch (error) {
      this.#trouble = (error as Error).message;
      const now = performance.now();
      this.#busySinceMs = isBusy(error) ? (this.#busySinceMs ?? now) : undefined;
      // Whoever has it for long is asked less often: lanes stand still meanwhile.
      const soon = this.#busySinceMs !== undefined && now - this.#busySinceMs < BUSY.mostMs;
      this.#lookMs = now + (soon ? BUSY.stepMs : REFUSED_MS);
    }
  }

  /** Does `work` while every lane stands still. */
  #change(work: () => void): void {
    this.#changing = true;
    this.#env!.paused(() => {
      if (!this.#closed) work();
    })
      .catch((error: unknown) => {
        this.#trouble = (error as Error).message;
      })
      .finally(() => {
        this.#changing = false;
      });
  }

  // ── what others ask ───────────────────────────────────────────────────────────────────────────────────────────

  get port(): Port {
    if (!this.#port) throw new EtherloomError('ERR_NIC_CLOSED', `${this.name} belongs to no engine yet`);
    return this.#port;
  }

  /** For the lanes' threads. */
  plan(): DriverPlan | undefined {
    return this.#relay ? undefined : { kind: 'af_xdp', portAt: this.port.at };
  }

  /** Packets published for the wire that the kernel has not taken. */
  get busy(): boolean {
    return (this.#queues?.sending || this.#relay?.sending) ?? false;
  }

  /** Where the port's frames are, from one look: in rings, or with the kernel. */
  holders(): FrameHolder[] {
    const places = this.#queues?.frames() ?? new Map<string, number[]>();
    const { arena, ifindex } = this.#env!;
    const inRings = new Set([...places.values()].flat().map(addr => Math.floor(addr / FRAME_SIZE)));
    const kernel = [...lentFrames(arena, ifindex)].filter(f => !inRings.has(f)).map(f => f * FRAME_SIZE);
    places.set(`kernel ${this.name}`, kernel);
    return [...places].map(([name, frames]) => ({ name, frames: () => frames }));
  }

  /**
   * Changes what the engine takes, while packets flow.
   * @throws EtherloomError ERR_NIC_RULE, ERR_ADDRESS, ERR_NIC_CLOSED; ERR_NIC_OPTIONS when it owns the interface
   */
  setRules(rules: readonly RedirectRule[]): void {
    if (!this.#program || this.#closed)
      throw new EtherloomError('ERR_NIC_CLOSED', `${this.name} is not open`);
    if (this.options.own)
      throw new EtherloomError('ERR_NIC_OPTIONS', `rules for ${this.name}, which takes everything (own)`, {
        expected: 'a NIC that was made with rules',
      });
    encodeRules(rules);
    this.#rules = rules;
    this.#tellRules();
  }

  /** What is taken. */
  get rules(): readonly RedirectRule[] {
    return this.#rules;
  }

  /** Packets that the program in the kernel has seen. */
  get seen(): Seen {
    if (!this.#program || this.#closed)
      throw new EtherloomError('ERR_NIC_CLOSED', `${this.name} is not open`);
    return this.#program.seen;
  }

  /** What the kernel counted at the sockets, by queue. */
  get socketStats(): SocketStats[] {
    return this.#queues?.stats ?? [];
  }

  get status(): AfXdpStatus {
    const link = this.#program?.link;
    return {
      attached: this.#boundTo !== 0,
      mode: link?.mode,
      modeReason: link?.reason ?? '',
      copy: this.#queues?.carried?.mode,
      copyReason: this.#queues?.carried?.reason ?? '',
      kickPackets: this.#queues?.kickPackets,
      queues: this.#port?.queueCount ?? 0,
      ringSlots: this.#queues?.slots ?? 0,
      reopened: this.#reopened,
      trouble: this.#trouble,
      unsent: this.#unsent,
      warnings: this.#closed || !this.#port ? [] : this.#traps(),
    };
  }

  #traps(): string[] {
    const { seen } = this;
    const before = this.#seenBefore ?? { taken: 0, left: 0, noSocket: 0, partial: 0 };
    return traps({
      device: this.#device!,
      own: this.options.own ?? false,
      mode: this.#program?.link?.mode,
      queues: this.#port!.queueCount,
      handingOver: this.#queues?.handingOver ?? 0,
      seen: {
        taken: seen.taken - before.taken,
        left: seen.left - before.left,
        noSocket: seen.noSocket - before.noSocket,
        partial: seen.partial - before.partial,
      },
      allMulticast: this.#allMulticast?.granted,
    });
  }

  /** Sends what is left, detaches the program, closes the sockets. What was received and not read stays readable. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#boundTo !== 0) {
      while (this.#relay?.send());
      this.#program!.detach();
      const kept = this.#queues!.closeForGood();
      const { arena, core, ifindex } = this.#env!;
      reclaim(arena, core, ifindex, kept);
    }
    this.#letGo();
  }

  #letGo(): void {
    this.#allMulticast?.close();
    this.#program?.close();
    this.#device?.close();
    this.#boundTo = 0;
  }
}

/** A NIC on an interface of the kernel, by AF_XDP. */
export const afXdp = (options: AfXdpOptions): AfXdpNic => new AfXdpNic(options);
