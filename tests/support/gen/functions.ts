/** Functions of the program, called by it (static and global) or by helpers (callbacks). */
import { Alu, Atomic, Jmp } from '../../../host/bpf/insn.js';
import { text } from './calls.js';
import { CTX, type Draft, H, KEPT, SCALAR } from './draft.js';
import { PROTOTYPES } from './globals.js';
import { LOOKUPS } from './maps.js';
import { prove } from './packets.js';
import { access, address, bound } from './scalars.js';
import { lookup } from './values.js';

/** A function that is given memory and an index; it checks the index, or its caller does. */
export function callFunction(g: Draft): void {
  const { code, rng } = g;
  const label = code.label();
  const kind = rng.below(3);
  let room = 32;
  if (kind === 0) {
    code.mov(1, 10);
    code.alu(Alu.ADD, 1, { imm: -room });
  } else if (kind === 1) {
    const map = LOOKUPS[rng.below(4)];
    room = map.valueBytes;
    lookup(g, map);
    code.mov(1, 0);
  } else {
    if (g.type === 'socket_filter') {
      text(g);
      return;
    }
    prove(g, room);
    code.mov(1, 2);
  }
  code.mov(2, SCALAR);
  const callerChecks = rng.chance(0.5);
  if (callerChecks) bound(g, 2, room - 1);
  code.callLocal(label);
  if (rng.chance(0.5)) code.mov(SCALAR, 0);
  g.functions.push(() => {
    const out = g.code.label();
    code.place(label);
    code.movImm(0, 0);
    if (!callerChecks && rng.chance(0.98)) code.branch(Jmp.JGT, 2, { imm: g.near(room - 1) }, out);
    code.alu(Alu.ADD, 1, { reg: 2 });
    if (rng.chance(0.5)) code.load(1, 0, 1, 0);
    else code.storeImm(1, 1, 0, 7);
    if (rng.chance(0.3)) {
      code.storeImm(8, 10, -8, 3);
      code.load(8, 0, 10, -8);
    }
    code.place(out);
    code.exit();
  });
}

/** bpf_loop or for_each_map_elem. */
export function callback(g: Draft): void {
  const { code, rng } = g;
  const label = code.label();
  const each = rng.chance(0.35);
  const map = LOOKUPS[rng.below(4)];
  if (each) code.map(1, map.key);
  else if (rng.chance(0.8)) code.movImm(1, rng.between(0, 12));
  else {
    code.mov(1, SCALAR);
    bound(g, 1, 15);
  }
  code.func(2, label);
  code.mov(3, 10);
  code.alu(Alu.ADD, 3, { imm: -32 });
  code.movImm(4, 0);
  code.call(each ? H.forEach : H.loop);
  g.functions.push(() => {
    const stop = g.code.label();
    code.place(label);
    // loop: r1 index, r2 context; for_each: r1 map, r2 key, r3 value, r4 context.
    const memory = each ? rng.pick([2, 3, 4]) : 2;
    const room = !each || memory === 4 ? 32 : memory === 3 ? map.valueBytes : map.keyBytes;
    if (each) {
      const bytes = g.size(Math.min(8, room));
      const off = g.near(bytes * rng.below(Math.floor(room / bytes)));
      if (memory === 2 || rng.chance(0.5)) code.load(bytes, 0, memory, off);
      else code.storeImm(bytes, memory, off, 1);
    } else {
      const counter = rng.chance(0.4);
      if (counter) code.load(8, 1, 2, 24);
      if (rng.chance(0.97)) code.branch(Jmp.JGT, 1, { imm: g.near(room - 9) }, stop);
      code.mov(3, 2);
      code.alu(Alu.ADD, 3, { reg: 1 });
      if (rng.chance(0.5)) code.load(1, 4, 3, 0);
      else code.storeImm(1, 3, 0, 9);
      if (counter) {
        code.alu(Alu.ADD, 1, { imm: 1 });
        code.store(8, 2, 24, 1);
      }
    }
    code.place(stop);
    if (rng.chance(0.97)) code.movImm(0, rng.below(2));
    else code.movImm(0, 2);
    code.exit();
  });
}

/** bpf_loop whose context, or whose number of rounds, is one or another by the path. */
export function uncertainCallback(g: Draft): void {
  const { code, rng } = g;
  const label = code.label();
  const changes = rng.chance(0.5);
  code.storeImm(8, 10, -72, rng.below(8));
  if (changes) {
    g.either(1, 0, rng.pick([0, 1, 3]));
    code.mov(3, 10);
    code.alu(Alu.ADD, 3, { imm: -72 });
  } else {
    g.either(3, 0, rng.pick([0, 0, 8]));
    code.movImm(1, 2);
  }
  code.func(2, label);
  code.movImm(4, 0);
  code.call(H.loop);
  if (changes) {
    code.load(8, 1, 10, -72);
    if (rng.chance(0.3)) bound(g, 1, 7);
    address(g, 3, 10, -16, 1);
    access(g, 3, 1, 0);
  }
  g.functions.push(() => {
    code.place(label);
    if (changes) code.storeImm(8, 2, g.near(0), rng.pick([1, 7, 8, 90]));
    else {
      address(g, 3, 10, -8, 2);
      code.storeImm(1, 3, 0, 1);
    }
    g.either(0, 0, rng.pick([0, 1, 1, 2]));
    code.exit();
  });
}

/** A global function: NULL, stack, a value, the packet or a number for memory of 8 or 32 bytes. */
export function globalFunction(g: Draft): void {
  const { code, rng } = g;
  const label = code.label();
  const prototype = rng.pick(rng.chance(0.4) ? PROTOTYPES.filter(p => p.ctx) : PROTOTYPES);
  const kind = rng.below(5);
  const arg = prototype.memory;
  if (kind === 0) g.either(arg, 0, rng.pick([0, 4096]));
  else if (kind === 1) {
    const map = LOOKUPS[rng.below(3)];
    lookup(g, map, rng.chance(0.5));
    code.mov(arg, 0);
  } else if (kind === 2 && g.type !== 'socket_filter') {
    prove(g, prototype.bytes);
    if (arg !== 2) code.mov(arg, 2);
  } else {
    code.mov(arg, 10);
    code.alu(Alu.ADD, arg, { imm: g.near(-prototype.bytes) });
  }
  if (prototype.ctx) code.mov(1, CTX);
  else if (arg === 1) code.mov(2, SCALAR);
  code.callLocal(label);
  if (rng.chance(0.5)) code.mov(SCALAR, 0);
  g.functions.push(() => {
    const out = code.label();
    code.place(label);
    // Tells the function from others: globals.ts gives it its types by this.
    code.movImm(0, prototype.mark);
    if (prototype.ctx) code.mov(CTX, 1);
    code.mov(KEPT, arg);
    if (!prototype.nonnull && rng.chance(0.95)) code.branch(Jmp.JEQ, KEPT, { imm: 0 }, out);
    if (prototype.ctx && g.type === 'xdp' && rng.chance(0.7)) {
      code.mov(1, CTX);
      code.movImm(2, rng.pick([-150, -60, -8, 8]));
      code.call(rng.pick([H.adjustHead, H.adjustTail, H.adjustTail]));
    }
    const bytes = g.size(8);
    access(g, KEPT, bytes, g.near(bytes * rng.below(prototype.bytes / bytes)));
    if (rng.chance(0.1)) {
      code.movImm(1, 1);
      code.atomic(rng.pick([4, 8] as const), Atomic.ADD, KEPT, 0, 1);
    }
    code.place(out);
    code.movImm(0, rng.below(4));
    code.exit();
  });
}
