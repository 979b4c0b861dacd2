/**
 * From eBPF to a Wasm module: finds the functions, analyses callers before callees, writes the code.
 * compileProgram is for verified programs and emits no checks; compileGuarded is for everybody else.
 */
import { EtherloomError } from '../../errors.js';
import { LaneStateLayout } from '../../layout/layout.gen.js';
import { helperExports, helpers } from '../helpers.js';
import { CallKind, Mode, OP_CALL, OP_LDDW, Pseudo } from '../insn.js';
import { kfuncByExport } from '../kfuncs.js';
import { type ObjectLayout, objectLayout } from '../objects/layout.js';
import { programTypes } from '../program_types.js';
import type { ProgramSpec } from '../spec.js';
import { requireVerified, trustAsCompiled } from '../stages.js';
import type { VerifiedProgram } from '../verify/verified.js';
import { checkWellformed, targetOf } from '../wellformed.js';
import { Analyser, anyArguments, entryArguments, type FunctionAnalysis, joinArguments } from './analysis.js';
import { typedExports } from './calls.js';
import type { CompiledProgram, MapBinding } from './compiled.js';
import { defineSkbAt } from './emit_memory.js';
import { FunctionEmitter } from './emitter.js';
import { Guard } from './guard.js';
import { makeProgram, noFacts, type Program } from './program.js';
import { emitStructured } from './structure.js';
import type { LocalFunction, Unit } from './unit.js';
import type { Value } from './values.js';
import { type FunctionBuilder, ModuleBuilder } from './wasm/encoder.js';
import { I32, I64, Op, type ValueType } from './wasm/opcodes.js';

const FIVE: readonly ValueType[] = [I64, I64, I64, I64, I64];

/** Functions of a program in an order that puts callers first, and whether any of them is recursive. */
interface CallGraph {
  order: number[];
  recursive: boolean;
  callbacks: number[];
}

function callGraph(program: Program, analyser: Analyser): CallGraph {
  const { insns } = program;
  const callbacks = new Set<number>();
  const postorder: number[] = [];
  const state = new Map<number, 'open' | 'done'>();
  let recursive = false;
  // Functions whose address is taken are called with anything, by whoever has it: roots of their own. A timer's callback
  // that sets itself again is no recursion.
  const callees = (entry: number): number[] => {
    const found = new Set<number>();
    for (const b of analyser.graph(entry).blocks)
      for (let pc = b.start; pc <= b.last; pc++) {
        const insn = insns[pc];
        if (insn.op === OP_CALL && insn.src === CallKind.LOCAL) found.add(targetOf(insn, pc));
        if (insn.op === OP_LDDW && insn.src === Pseudo.FUNC) {
          callbacks.add(pc + 1 + insn.imm);
        }
      }
    return [...found];
  };
  const visit = (root: number): void => {
    const stack: { entry: number; rest: number[] }[] = [{ entry: root, rest: callees(root) }];
    state.set(root, 'open');
    while (stack.length) {
      const top = stack[stack.length - 1];
      const next = top.rest.pop();
      if (next === undefined) {
        state.set(top.entry, 'done');
        postorder.push(top.entry);
        stack.pop();
      } else if (state.get(next) === 'open') recursive = true;
      else if (!state.has(next)) {
        state.set(next, 'open');
        stack.push({ entry: next, rest: callees(next) });
      }
    }
  };
  visit(0);
  // Callbacks may take the addresses of others: a Set's iteration goes on to those.
  for (const callback of callbacks) if (!state.has(callback)) visit(callback);
  return { order: postorder.reverse(), recursive, callbacks: [...callbacks].sort((a, b) => a - b) };
}

/** Analyses every function that is really called, callers before callees. */
function analyseAll(program: Program, analyser: Analyser, graph: CallGraph): FunctionAnalysis[] {
  const args = new Map<number, Value[]>();
  const guarded = program.mode === 'guarded';
  args.set(0, guarded ? anyArguments() : entryArguments());
  for (const entry of graph.callbacks) args.set(entry, anyArguments());
  const done: FunctionAnalysis[] = [];
  for (const entry of graph.order) {
    const known = graph.recursive ? anyArguments() : args.get(entry);
    if (!known) continue;
    const analysis = analyser.analyse(entry, known);
    done.push(analysis);
    for (const call of analysis.calls)
      if (!graph.callbacks.includes(call.entry))
        args.set(call.entry, joinArguments(args.get(call.entry), call.args));
  }
  return done;
}

/** What the module must import, found by a walk over all code that is reached. */
interface Needs {
  imports: Set<string>;
  packetLoads: boolean;
  tailCalls: Set<number>;
  /** Calls by slot: tail calls, and loops whose function is not known. */
  table: boolean;
  /** Functions that hand their frame pointer to something. */
  handsFp: Set<number>;
}

function findNeeds(program: Program, all: readonly FunctionAnalysis[]): Needs {
  const needs: Needs = {
    ...{ imports: new Set(), packetLoads: false, tailCalls: new Set(), table: false, handsFp: new Set() },
  };
  for (const name of [...program.guardedHelpers.values(), ...program.callxHelpers.values()])
    needs.imports.add(name);
  for (const fn of all) {
    for (const plan of fn.transfer.plans.values())
      if (plan.kind === 'kfunc') {
        needs.imports.add(plan.name);
        if (plan.kfunc.runsPrograms) needs.handsFp.add(fn.entry);
      } else if (plan.kind === 'export') {
        needs.imports.add(plan.name);
        if (plan.callback) needs.handsFp.add(fn.entry);
      } else if (plan.kind === 'tail') {
        needs.tailCalls.add(fn.entry);
        needs.table = true;
      } else if (plan.kind === 'loop') {
        needs.handsFp.add(fn.entry);
        needs.table ||= plan.callback === undefined;
      }
    for (const b of fn.graph.blocks)
      for (let pc = b.start; pc <= b.last; pc++) {
        const { op } = program.insns[pc];
        if ((op & 7) === 0 && ((op & 0xe0) === Mode.ABS || (op & 0xe0) === Mode.IND))
          needs.packetLoads = true;
      }
  }
  return needs;
}

/** Structures that the program makes objects of: their BTF ids. */
const madeTypes = (program: Program): number[] => [
  ...new Set(program.insns.map((_, pc) => program.facts.made(pc)).filter(id => id !== undefined)),
];

class Compiler {
  readonly #module: ModuleBuilder;

  constructor(readonly program: Program) {
    this.#module = new ModuleBuilder(program.spec.name);
  }

  compile(): {
    bytes: Uint8Array<ArrayBuffer>;
    helpers: string[];
    objects: ObjectLayout[];
    callbacks: string[];
  } {
    const { program } = this;
    const m = this.#module;
    const guarded = program.mode === 'guarded';
    const analyser = new Analyser(program);
    const graph = callGraph(program, analyser);
    const all = analyseAll(program, analyser, graph);
    const needs = findNeeds(program, all);

    m.importMemory('env', 'memory');
    // V8 tells every instance that ever had a table of each change in it, and keeps them all: most programs need none.
    if (!guarded && needs.table) m.importTable('env', 'table');
    const globals = guarded
      ? { stack: m.importGlobal('env', 'stack', I32), lane: -1, state: -1, slots: -1 }
      : {
          stack: m.importGlobal('env', 'stack', I32),
          lane: m.importGlobal('env', 'lane', I32),
          state: m.importGlobal('env', 'state', I32),
          slots: m.importGlobal('env', 'slots', I32),
        };
    const made = madeTypes(program);
    const objects = new Map(made.map((id, i) => [id, m.importGlobal('o', `${i}`, I32)]));
    const guard = guarded ? new Guard(m) : undefined;
    const imports = this.#importHelpers(needs.imports);
    guard?.define(m);
    const functions = new Map<number, LocalFunction>();
    const unit: Unit = {
      program,
      module: m,
      globals,
      imports,
      functions,
      objects,
      skbAt:
        needs.packetLoads && !guarded
          ? defineSkbAt(m, programTypes[program.spec.type].hiddenBytes).index
          : -1,
      callbackSlot: entry => 2 + graph.callbacks.indexOf(entry),
      guard,
    };
    const builders = this.#declare(all, needs, graph.recursive, functions);
    for (const fn of functions.values()) this.#emit(unit, fn, builders.get(fn.entry)!);
    this.#exports(unit, needs, graph.callbacks, builders.get(0)!);
    return {
      bytes: m.finish(),
      helpers: [...needs.imports],
      objects: made.map(id => objectLayout(program.spec.btf!, id)),
      callbacks: graph.callbacks.map(entry => this.#name(entry)),
    };
  }

  #importHelpers(names: ReadonlySet<string>): Map<string, number> {
    const letters: Record<string, ValueType> = { p: I32, w: I32, i: I32, d: I64 };
    const imports = new Map<string, number>();
    for (const name of names) {
      const wasm = this.program.mode === 'guarded' ? { args: 'ddddd', result: 'd' } : exportSignature(name)!;
      imports.set(
        name,
        this.#module.importFunction(
          'h',
          name,
          [...wasm.args].map(l => letters[l]),
          wasm.result === 'v' ? [] : [letters[wasm.result]],
        ),
      );
    }
    return imports;
  }

  /** Gives every function its index and type, callees' needs first. */
  #declare(
    all: readonly FunctionAnalysis[],
    needs: Needs,
    recursive: boolean,
    functions: Map<number, LocalFunction>,
  ): Map<number, FunctionBuilder> {
    const guarded = this.program.mode === 'guarded';
    const needsFp = new Map<number, boolean>();
    const movesEntry = new Map<number, boolean>();
    const callsOf = (fn: FunctionAnalysis): number[] => fn.calls.map(c => c.entry);
    for (const fn of [...all].reverse()) {
      const calls = callsOf(fn);
      const tail = needs.tailCalls.has(fn.entry) && fn.entry !== 0;
      needsFp.set(
        fn.entry,
        guarded ||
          recursive ||
          fn.usesFrame ||
          tail ||
          needs.handsFp.has(fn.entry) ||
          calls.some(c => needsFp.get(c)),
      );
      movesEntry.set(fn.entry, tail || calls.some(c => movesEntry.get(c)));
    }
    const builders = new Map<number, FunctionBuilder>();
    for (const fn of all) {
      const isMain = fn.entry === 0 && !guarded;
      const params: number[] = [];
      const types: ValueType[] = [];
      for (let reg = 1; reg <= 5; reg++) {
        const known = fn.entryArgs[reg - 1];
        if (isMain ? reg !== 1 : !(fn.params & (1 << reg)) || known.k === 'const') continue;
        params.push(reg);
        types.push(known.k === 'w64' ? I64 : I32);
      }
      const fp = needsFp.get(fn.entry)!;
      if (fp && !isMain) types.push(I32);
      const name = this.#name(fn.entry);
      const builder = this.#module.addFunction(name, types, [I64]);
      builders.set(fn.entry, builder);
      functions.set(fn.entry, {
        entry: fn.entry,
        index: builder.index,
        analysis: fn,
        params,
        needsFp: fp,
        movesEntry: movesEntry.get(fn.entry)!,
      });
    }
    return builders;
  }

  #name(entry: number): string {
    if (entry === 0) return this.program.spec.name;
    return this.program.spec.funcs?.find(f => f.insn === entry)?.name ?? `sub_${entry}`;
  }

  #emit(unit: Unit, fn: LocalFunction, f: FunctionBuilder): void {
    const e = new FunctionEmitter(unit, fn.analysis, f);
    fn.params.forEach((reg, i) => {
      e.bindParameter(reg, fn.analysis.entryArgs[reg - 1].k === 'w64' ? I64 : I32, i);
    });
    let fp = -1;
    if (fn.needsFp) {
      if (fn.entry === 0 && !unit.guard) {
        fp = f.local(I32, 'r10');
        f.op1(Op.global_get, unit.globals.state).mem(Op.i32_load, LaneStateLayout.entryFp).set(fp);
      } else {
        fp = fn.params.length;
        f.nameLocal(fp, 'r10');
      }
    }
    e.prologue(fp);
    emitStructured(fn.analysis.graph, f, e);
  }

  #exports(unit: Unit, needs: Needs, callbacks: readonly number[], main: FunctionBuilder): void {
    const m = this.#module;
    if (unit.guard) {
      this.#guardedEntries(unit, main);
      return;
    }
    m.exportFunction('tail', main);
    if (needs.tailCalls.size) {
      const run = m.addFunction('run', [I32], [I64]);
      run.op1(Op.global_get, unit.globals.state).i32(0).mem(Op.i32_store, LaneStateLayout.tailCalls);
      run.get(0).op1(Op.return_call, main.index);
      m.exportFunction('run', run);
    } else m.exportFunction('run', main);
    callbacks.forEach((entry, i) => {
      const fn = unit.functions.get(entry)!;
      const f = m.addFunction(`callback_${this.#name(entry)}`, FIVE, [I64]);
      for (const reg of fn.params) f.get(reg - 1);
      if (fn.needsFp) f.op1(Op.global_get, unit.globals.state).mem(Op.i32_load, LaneStateLayout.entryFp);
      f.op1(Op.return_call, fn.index);
      m.exportFunction(`callback${i}`, f);
    });
  }

  /** run(ctx) as in verified mode, enter(r1, r2) for the conformance runner. */
  #guardedEntries(unit: Unit, main: FunctionBuilder): void {
    const m = this.#module;
    const fn = unit.functions.get(0)!;
    const wrap = (
      name: string,
      types: readonly ValueType[],
      push: (f: FunctionBuilder, reg: number) => void,
    ): void => {
      const f = m.addFunction(name, types, [I64]);
      for (const reg of fn.params) push(f, reg);
      f.op1(Op.global_get, unit.globals.stack).op1(Op.call, main.index);
      m.exportFunction(name, f);
    };
    wrap('run', [I32], (f, reg) => (reg === 1 ? f.get(0).op(Op.i64_extend_i32_u) : f.i64(0n)));
    wrap('enter', [I64, I64], (f, reg) => (reg <= 2 ? f.get(reg - 1) : f.i64(0n)));
  }
}

/** Wasm signature of an export that a helper or kfunc is called through; undefined when none is. */
export const exportSignature = (name: string): { args: string; result: string } | undefined =>
  helperSignatures().get(name) ?? kfuncByExport(name)?.wasm;

let signatures: Map<string, { args: string; result: string }> | undefined;

/** Wasm signature of every export that a helper may be called through, typed map operations included. */
export function helperSignatures(): ReadonlyMap<string, { args: string; result: string }> {
  return (signatures ??= loadSignatures());
}

function loadSignatures(): Map<string, { args: string; result: string }> {
  const all = new Map<string, { args: string; result: string }>();
  for (const h of helpers)
    for (const name of [...helperExports(h), ...typedExports(h)]) all.set(name, h.wasm);
  return all;
}

function build(program: Program, verified: VerifiedProgram | undefined, started: number): CompiledProgram {
  const { bytes, helpers: names, objects, callbacks } = new Compiler(program).compile();
  let module: WebAssembly.Module;
  try {
    module = new WebAssembly.Module(bytes);
  } catch (cause) {
    throw new EtherloomError('ERR_JIT_INVALID', 'the generated module is not valid WebAssembly', {
      file: program.spec.name,
      cause,
    });
  }
  return {
    spec: program.spec,
    verified,
    mode: program.mode,
    bytes,
    module,
    helpers: Object.freeze(names),
    objects: Object.freeze(objects),
    callbacks: Object.freeze(callbacks),
    slotCount: 2 + callbacks.length,
    compileUs: Math.round((performance.now() - started) * 1000),
  };
}

/**
 * Compiles a verified program for the arena that its maps are bound in.
 * @throws EtherloomError ERR_STAGE_FORGED when verify() did not make it; ERR_JIT_UNSUPPORTED, ERR_JIT_HELPER, ERR_JIT_MAP with the instruction as offset;
 * MapError EINVAL for a map whose programs are of another kind.
 */
export function compileProgram(verified: VerifiedProgram, maps: MapBinding): CompiledProgram {
  const started = performance.now();
  requireVerified(verified);
  const { spec } = verified;
  checkWellformed(spec.insns, spec.name);
  const used = Object.values(maps);
  for (const map of used) map.programs?.check(spec);
  const compiled = build(makeProgram(spec, 'verified', verified.facts ?? noFacts, maps), verified, started);
  // Only now: a program that could not be compiled decides nothing.
  for (const map of used) map.programs?.claim(spec);
  return trustAsCompiled(compiled);
}

export interface GuardedOptions {
  /** Helpers by number: name of an import `(i64 × 5) → i64` of module "h". */
  helpers?: ReadonlyMap<number, string>;
  /** Accept CALLX, which calls one of these by the number in a register. */
  callx?: ReadonlyMap<number, string>;
}

/**
 * Compiles a program that no verifier has seen: every access is checked, execution is metered.
 * @throws EtherloomError ERR_INSN_FORM when the instructions are no program at all; else as compileProgram.
 */
export function compileGuarded(spec: ProgramSpec, options: GuardedOptions = {}): CompiledProgram {
  const started = performance.now();
  checkWellformed(spec.insns, spec.name, { callx: options.callx !== undefined });
  return build(makeProgram(spec, 'guarded', noFacts, {}, options.helpers, options.callx), undefined, started);
}
