/** Members of flows, read where they lie: decoding a whole flow at each step would be most of a run. */
import { layout } from '../../host/bpf/btf/types.js';
import type { TcpEngine } from './engine.js';

export class FlowWatch {
  readonly #offsets = new Map<string, number>();

  constructor(readonly host: TcpEngine) {}

  /** Byte of `cc.cwnd` and the like in the arena. */
  #at(id: number, path: string): number {
    const map = this.host.map('tcp_flows');
    let offset = this.#offsets.get(path);
    if (offset === undefined) {
      const { types, valueId } = map.spec.btf!;
      let type = valueId;
      offset = 0;
      for (const name of path.split('.')) {
        const member = layout(types, type).find(m => m.name === name);
        if (!member) throw new Error(`struct tcp_flow has no ${path}`);
        offset += member.bitOffset / 8;
        type = member.type;
      }
      this.#offsets.set(path, offset);
    }
    return map.dataAt! + id * map.stride! + offset;
  }

  u8(id: number, path: string): number {
    return this.host.engine.arena.u8[this.#at(id, path)];
  }

  u32(id: number, path: string): number {
    return this.host.engine.arena.u32[this.#at(id, path) >> 2];
  }

  u64(id: number, path: string): bigint {
    return this.host.engine.arena.dv.getBigUint64(this.#at(id, path), true);
  }
}
