/** Pieces that call helpers with memory: sums, copies, text, records, tail calls. */
import { Alu, Atomic, Jmp } from '../../../host/bpf/insn.js';
import { CTX, type Draft, H, KEPT, SCALAR } from './draft.js';
import { Key, LOOKUPS } from './maps.js';
import { prove } from './packets.js';
import { access, bound } from './scalars.js';
import { lookup } from './values.js';

/** csum_diff over stack, value or packet, its size constant or bounded. */
export function csum(g: Draft): void {
  const { code, rng } = g;
  if (g.type === 'socket_filter') {
    text(g);
    return;
  }
  const kind = rng.below(3);
  let room: number;
  if (kind === 0) {
    room = 4 * rng.between(1, 16);
    code.mov(1, 10);
    code.alu(Alu.ADD, 1, { imm: -room });
  } else if (kind === 1) {
    const map = rng.pick(LOOKUPS);
    lookup(g, map);
    room = map.valueBytes;
    code.mov(1, 0);
  } else {
    room = 32;
    prove(g, 32);
    code.mov(1, 2);
  }
  if (rng.chance(0.6)) code.movImm(2, g.near(room));
  else {
    code.mov(2, SCALAR);
    bound(g, 2, room);
    if (rng.chance(0.5)) code.alu(Alu.AND, 2, { imm: -4 });
  }
  code.movImm(3, 0);
  code.movImm(4, 0);
  code.movImm(5, 0);
  code.call(H.csumDiff);
}

/** Bytes from or to the packet by helper. */
export function bytes(g: Draft): void {
  const { code, rng } = g;
  const room = 8 * rng.between(1, 8);
  code.mov(1, CTX);
  if (rng.chance(0.7)) code.movImm(2, rng.below(40));
  else code.mov(2, SCALAR);
  code.mov(3, 10);
  code.alu(Alu.ADD, 3, { imm: -room });
  if (rng.chance(0.6)) code.movImm(4, g.near(room));
  else {
    code.mov(4, SCALAR);
    bound(g, 4, room - 1);
    if (rng.chance(0.95)) code.alu(Alu.ADD, 4, { imm: 1 });
  }
  const write = rng.chance(0.3) && g.type !== 'socket_filter';
  code.movImm(5, 0);
  if (g.type === 'xdp') code.call(write ? H.xdpStore : H.xdpLoad);
  else code.call(write ? H.skbStore : H.skbLoad);
  if (write && g.type === 'tc' && g.kept?.kind === 'packet') g.kept = undefined;
}

export function text(g: Draft): void {
  const { code } = g;
  code.storeImm(8, 10, -136, 0x3231);
  code.mov(1, 10);
  code.alu(Alu.ADD, 1, { imm: -136 });
  code.movImm(2, g.near(8));
  code.movImm(3, 0);
  code.mov(4, 10);
  code.alu(Alu.ADD, 4, { imm: g.near(-152) });
  code.call(H.strtol);
}

export function ring(g: Draft): void {
  const { code, rng } = g;
  code.map(1, Key.ringbuf);
  if (rng.chance(0.4)) {
    code.mov(2, 10);
    code.alu(Alu.ADD, 2, { imm: -32 });
    code.movImm(3, g.near(32));
    code.movImm(4, 0);
    code.call(H.ringOutput);
    return;
  }
  const room = 8 * rng.between(1, 4);
  code.movImm(2, room);
  code.movImm(3, 0);
  code.call(H.ringReserve);
  if (rng.chance(0.98)) code.branch(Jmp.JEQ, 0, { imm: 0 }, g.out);
  code.mov(KEPT, 0);
  g.kept = undefined;
  for (let i = rng.below(3); i > 0; i--) {
    const bytes = g.size();
    access(g, KEPT, bytes, g.near(bytes * rng.below(Math.floor(room / bytes))));
  }
  code.mov(1, KEPT);
  code.movImm(2, 0);
  if (rng.chance(0.98)) code.call(rng.pick([H.ringSubmit, H.ringDiscard]));
  if (rng.chance(0.02)) access(g, KEPT, 4, 0);
}

export function tail(g: Draft): void {
  const { code, rng } = g;
  code.mov(1, CTX);
  code.map(2, Key.jumps);
  code.movImm(3, rng.below(5));
  code.call(H.tailCall);
}

/** Memory of no bytes, which may be NULL, or of some: the size and the pointer are one or another by the path. */
export function perhapsNothing(g: Draft): void {
  const { code, rng } = g;
  if (g.type === 'socket_filter') {
    ring(g);
    return;
  }
  if (rng.chance(0.5)) {
    g.either(1, 0, rng.pick([0, 4096]));
    code.movImm(2, 0);
  } else {
    g.either(2, rng.pick([4, 8]), rng.pick([4, 16, 68]));
    code.mov(1, 10);
    code.alu(Alu.ADD, 1, { imm: -16 });
  }
  code.movImm(3, 0);
  code.movImm(4, 0);
  code.movImm(5, 0);
  code.call(H.csumDiff);
}

/** A record whose size differs by the path; a function may write and submit it. */
export function recordAway(g: Draft): void {
  const { code, rng } = g;
  code.map(1, Key.ringbuf);
  const room = rng.pick([8, 16]);
  if (rng.chance(0.5)) g.either(2, 16, room);
  else code.movImm(2, room);
  code.movImm(3, 0);
  code.call(H.ringReserve);
  if (rng.chance(0.5)) {
    code.store(8, 10, -72, 0);
    if (rng.chance(0.97)) code.branch(Jmp.JEQ, 0, { imm: 0 }, g.out);
    code.load(8, 0, 10, -72);
  } else if (rng.chance(0.97)) code.branch(Jmp.JEQ, 0, { imm: 0 }, g.out);
  code.storeImm(8, 0, g.near(room - 8), 1);
  if (rng.chance(0.3)) {
    code.movImm(1, 1);
    code.atomic(8, Atomic.ADD, 0, g.near(0), 1);
  }
  code.mov(1, 0);
  const submit = code.label();
  if (rng.chance(0.97)) code.callLocal(submit);
  else code.movImm(0, 0);
  if (rng.chance(0.03)) {
    code.load(8, 1, 10, -72);
    access(g, 1, 8, 0);
  }
  g.functions.push(() => {
    code.place(submit);
    if (rng.chance(0.3)) code.storeImm(4, 1, 0, 2);
    code.movImm(2, 0);
    if (rng.chance(0.97)) code.call(rng.pick([H.ringSubmit, H.ringDiscard]));
    code.movImm(0, 0);
    code.exit();
  });
}
