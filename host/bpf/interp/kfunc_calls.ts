/** Kfunc calls of the interpreter: arguments are checked against the prototype, then the core's export is called. */
import { GraphHeadLayout, GraphNodeLayout } from '../../layout/layout.gen.js';
import { type Kfunc, type KfuncArg, kfuncByName } from '../kfuncs.js';
import { objectLayout } from '../objects/layout.js';
import { objectTypeAt } from '../objects/pool.js';
import { addOwned, bindCallback, type HelperHost, objectOfNode, widen } from './helper_calls.js';
import type { Machine } from './machine.js';
import { InterpFault, Regions } from './regions.js';

const MAX_STRING = 4096;
/** Bytes of a program's frames, at most. */
const MAX_STACK = 512;

/** Calls the kfunc `name`, which the program numbers `id`, with r1–r5 of the machine. */
export function callKfunc(
  host: HelperHost,
  machine: Machine,
  name: string | undefined,
  id: number,
  pc: number,
): bigint {
  const kfunc = name === undefined ? undefined : kfuncByName(name);
  if (!kfunc) throw new InterpFault('helper', pc, `kfunc ${name ?? id} is not provided`);
  const { regs } = machine;
  for (const [i, arg] of kfunc.args.entries()) checkArgument(host, kfunc, arg, i, regs, pc);
  const exports = host.core.exports as unknown as Record<string, ((...a: unknown[]) => unknown) | undefined>;
  const fn = exports[kfunc.wasm.name];
  if (!fn) throw new InterpFault('helper', pc, `the core has no export ${kfunc.wasm.name}`);
  const slots: number[] = [];
  const args = [...kfunc.wasm.args].map((letter, i) => {
    const { kind } = kfunc.args[i];
    if (kind === 'type') return objectTypeAt(host.arena, objectLayout(host.btf!, Number(regs[1])));
    if (kind === 'callback') {
      const slot = bindCallback(host, machine, Number(regs[i + 1] & 0xffff_ffffn), true);
      slots.push(slot);
      return slot;
    }
    return letter === 'd' ? BigInt.asIntN(64, regs[i + 1]) : Number(BigInt.asIntN(32, regs[i + 1]));
  });
  const lane = host.arena.lane(host.core.lane);
  if (kfunc.runsPrograms) lane.entryFp = Number(regs[10]) - MAX_STACK;
  const r0 = widen(kfunc.wasm.result, fn(...args));
  for (const slot of slots) host.core.table.set(slot, null);
  if (kfunc.runsPrograms) lane.entryFp = lane.stackTop;
  if (kfunc.releases !== undefined) host.regions.removeObject(Number(regs[kfunc.releases + 1]));
  if (kfunc.ret.kind === 'owned' && r0 !== 0n)
    addOwned(host, kfunc.ret.node ? objectOfNode(host, Number(r0)) : Number(r0));
  if (kfunc.ret.kind === 'object' && r0 !== 0n) {
    const { name: type, bytes } = kfunc.ret.object;
    host.regions.addObject(`struct ${type}`, Number(r0), bytes, false);
  }
  return r0;
}

function checkArgument(
  host: HelperHost,
  kfunc: Kfunc,
  arg: KfuncArg,
  i: number,
  regs: BigUint64Array,
  pc: number,
): void {
  const v = regs[i + 1];
  const fail = (what: string): never => {
    throw new InterpFault('helper', pc, `${kfunc.name}: r${i + 1} ${what}`);
  };
  const access = (at: bigint, bytes: number, write: boolean): void => {
    const broken = host.regions.check(Number(at), bytes, write);
    if (broken) throw Regions.fault(pc, Number(at), bytes, write, broken);
  };
  switch (arg.kind) {
    case 'ctx':
      if (v !== BigInt(host.ctx)) fail('is not the context');
      return;
    case 'memory': {
      if (v === 0n && arg.nullable) return;
      const bytes = arg.bytes ?? Number(regs[i + 2] & 0xffff_ffffn);
      if (bytes > 0) access(v, bytes, arg.write);
      return;
    }
    case 'object':
      if (v === 0n && arg.nullable) return;
      if (host.regions.objectAt(Number(v))?.name !== `struct ${arg.object.name}`)
        fail(`is no struct ${arg.object.name}`);
      return;
    case 'owned':
      if (host.regions.objectAt(Number(v))?.name !== 'object') fail('is no object');
      return;
    case 'head':
      return access(v, GraphHeadLayout.size, true);
    case 'node':
      return access(v, GraphNodeLayout.parent, true);
    case 'map':
      if (!host.mapPointers.has(Number(v))) fail('is no map');
      return;
    case 'string':
      for (let end = v; ; end++) {
        if (end - v > MAX_STRING) fail('is a string without end');
        access(end, 1, false);
        if (host.arena.u8[Number(end)] === 0) return;
      }
  }
}
