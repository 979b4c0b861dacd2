/** What the tests of this folder share: engines that reflect UDP on AF_XDP ports. */
import { Collection } from '../../../host/bpf/collection.js';
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import { Engine, type EngineOptions } from '../../../host/engine/engine.js';
import { laneFile } from '../../../host/engine/lane_file.js';
import type { EngineReport } from '../../../host/engine/report.js';
import { type AfXdpNic, type AfXdpOptions, afXdp } from '../../../host/nic/index.js';
import type { Nic } from '../../../host/nic/nic.js';
import { missingNamespaces } from '../../support/netns.js';
import { loadObject } from '../../support/program_rig.js';
import { missingTool } from '../../support/tools.js';
import { Veth, type VethOptions } from '../../support/veth.js';

const kernel = kernelAvailable();
/** Why these tests cannot run here. */
export const missing = missingNamespaces ?? (kernel.ok ? undefined : kernel.reason) ?? missingTool('ethtool');

/** What the tests ask for: UDP to port 7. */
export const ECHO = [{ protocol: 'udp', port: 7 }] as const;

/** Puts a program of `reflect` at every port of an engine and starts it. */
export async function reflecting(
  nics: Nic[],
  options: Partial<EngineOptions> = {},
  program = 'reflect',
): Promise<Engine> {
  const engine = await Engine.create({ nics, frames: 4096, mapBytes: 1 << 20, hangMs: 2000, ...options });
  try {
    const collection = await Collection.load(loadObject('reflect'), engine, { programs: [program] });
    for (const nic of nics) engine.attach(collection.program(program).placed, nic.name);
    await engine.start();
    return engine;
  } catch (error) {
    await engine.stop();
    throw error;
  }
}

/** A lane that dies is back within this; threads that compile their source first, for dist/ is not built, take longer. */
export const RESUMES_MS = laneFile().includes('/dist/') ? 1000 : 3000;

export interface Rig {
  veth: Veth;
  nic: AfXdpNic;
  engine: Engine;
}

/** Steps an inline engine until told to stop. */
export function stepping(engine: Engine): () => Promise<void> {
  let on = true;
  const done = (async () => {
    while (on) {
      engine.step();
      await new Promise(next => setImmediate(next));
    }
  })();
  return async () => {
    on = false;
    await done;
  };
}

/** A veth pair whose near end an engine reflects on; afterwards every frame must be free. */
export async function onVeth(
  options: { nic?: Partial<AfXdpOptions>; veth?: VethOptions; engine?: Partial<EngineOptions> },
  work: (rig: Rig) => Promise<void>,
): Promise<EngineReport> {
  const veth = await Veth.create(options.veth);
  try {
    const nic = afXdp(nicOptions(veth, options.nic));
    const engine = await reflecting([nic], options.engine);
    const stop = engine.inline ? stepping(engine) : undefined;
    try {
      await work({ veth, nic, engine });
    } finally {
      await stop?.();
      await engine.stop();
    }
    return await engine.stop();
  } finally {
    veth.close();
  }
}

export const nicOptions = (veth: Veth, more: Partial<AfXdpOptions> = {}): AfXdpOptions => ({
  interface: veth.nearLink,
  namespace: veth.near.name,
  ...(more.own ? {} : { rules: ECHO }),
  ...more,
});
