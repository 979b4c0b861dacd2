/** A map in the real kernel: created from a MapSpec, read and written through bpf(2), closed by its owner. */
import { readFileSync } from 'node:fs';
import { EtherloomError } from '../../errors.js';
import type { Btf } from '../btf/btf.js';
import { isPerCpu } from '../maps/check.js';
import { valueLayout } from '../objects/layout.js';
import { type MapSpec, mapTypeNumbers } from '../spec.js';
import { addon, bpf, bpfOrThrow, Cmd, errnoName, MAP_CREATE, MAP_ELEM, MAP_FREEZE } from './attr.js';
import { encodeBtf, loadBtf } from './btf.js';

/** Value types that need BTF at creation: the kernel finds these members by name and manages them. */
const SPECIAL_MEMBERS = ['bpf_spin_lock', 'bpf_res_spin_lock', 'bpf_timer', 'bpf_wq', 'bpf_refcount'];

let cpus: number | undefined;
/** Possible CPUs: a per-CPU value is one 8-byte-aligned copy for each. */
export function possibleCpus(): number {
  cpus ??= 1 + Number(/(\d+)\s*$/.exec(readFileSync('/sys/devices/system/cpu/possible', 'utf8'))![1]);
  return cpus;
}

/** Whether the value holds objects: programs must then be loaded with the very BTF that the map was made with. */
export const holdsObjects = (spec: MapSpec): boolean => {
  try {
    return valueLayout(spec) !== undefined;
  } catch {
    return true;
  }
};

function hasSpecialMember(btf: Btf, id: number, depth = 0): boolean {
  const type = btf.types[id];
  if (!type || depth > 8) return false;
  if (type.kind === 'struct') {
    return (
      SPECIAL_MEMBERS.includes(type.name) || type.members.some(m => hasSpecialMember(btf, m.type, depth + 1))
    );
  }
  const through =
    type.kind === 'array' || type.kind === 'typedef' || type.kind === 'const' || type.kind === 'volatile';
  return through && hasSpecialMember(btf, type.type, depth + 1);
}

export class KernelMap {
  private open = true;

  private constructor(
    readonly spec: MapSpec,
    readonly fd: number,
  ) {}

  /**
   * Creates the map, writes `contents` and freezes it if the spec says so. `btfFd`: its types, loaded already.
   * @throws EtherloomError ERR_KERNEL_<ERRNO>
   */
  static create(spec: MapSpec, btfFd?: number): KernelMap {
    if (spec.type === 'pkt_queue')
      throw new EtherloomError(
        'ERR_KERNEL_TYPE',
        `map ${spec.name}: Linux has no pkt_queue, eTran's patch adds it`,
      );
    const fds: number[] = [];
    let map: KernelMap | undefined;
    try {
      let innerFd: number | undefined;
      if (spec.inner) fds.push((innerFd = KernelMap.create(spec.inner).fd));
      let btf: { fd: number; keyId: number; valueId: number } | undefined;
      if (spec.btf && btfFd !== undefined && holdsObjects(spec)) btf = { ...spec.btf, fd: btfFd };
      else if (spec.btf && (hasSpecialMember(spec.btf.types, spec.btf.valueId) || holdsObjects(spec))) {
        btf = { ...spec.btf, fd: loadBtf(encodeBtf(spec.btf.types)) };
        fds.push(btf.fd);
      }
      const fd = bpfOrThrow(`map ${spec.name} (${spec.type})`, Cmd.MAP_CREATE, MAP_CREATE, {
        type: mapTypeNumbers[spec.type],
        keySize: spec.keySize,
        valueSize: spec.valueSize,
        maxEntries: spec.maxEntries,
        flags: spec.flags,
        innerFd,
        name: spec.name,
        btfFd: btf?.fd,
        btfKeyId: btf?.keyId,
        btfValueId: btf?.valueId,
        extra: spec.extra,
      }).rc;
      map = new KernelMap(spec, fd);
      // Members that are the kernel's cannot be written; zeroes need not be.
      if (spec.contents?.some(b => b !== 0)) map.update(new Uint8Array(4), map.padded(spec.contents));
      if (spec.frozen) map.freeze();
      return map;
    } catch (error) {
      map?.close();
      throw error;
    } finally {
      for (const fd of fds) addon().close(fd);
    }
  }

  /** Bytes that the kernel reads or writes for one value: all CPUs' copies for per-CPU maps, an id for map-in-map. */
  get valueBytes(): number {
    const size = this.spec.valueSize;
    return this.perCpu ? ((size + 7) & ~7) * possibleCpus() : size;
  }

  /** Whether each possible CPU has a value of its own. */
  get perCpu(): boolean {
    return isPerCpu(this.spec.type);
  }

  /** Value under `key`, or undefined. Queues and stacks take an empty key (peek). */
  lookup(key: Uint8Array): Uint8Array | undefined {
    const value = new Uint8Array(Math.max(this.valueBytes, 8));
    const { rc } = bpf(Cmd.MAP_LOOKUP_ELEM, MAP_ELEM, { fd: this.fd, key: this.key(key), value });
    if (rc === 0) return value.subarray(0, this.valueBytes);
    if (errnoName(-rc) === 'ENOENT') return undefined;
    throw this.error('lookup', rc);
  }

  /** @param flags BPF_ANY 0, BPF_NOEXIST 1, BPF_EXIST 2 */
  update(key: Uint8Array, value: Uint8Array, flags = 0): void {
    if (value.length !== this.valueBytes)
      throw new EtherloomError(
        'ERR_KERNEL_VALUE_SIZE',
        `value of ${value.length} bytes for ${this.spec.name}`,
        {
          expected: `${this.valueBytes} bytes`,
        },
      );
    const { rc } = bpf(Cmd.MAP_UPDATE_ELEM, MAP_ELEM, { fd: this.fd, key: this.key(key), value, flags });
    if (rc < 0) throw this.error('update', rc);
  }

  /** True when the key was there. */
  delete(key: Uint8Array): boolean {
    const { rc } = bpf(Cmd.MAP_DELETE_ELEM, MAP_ELEM, { fd: this.fd, key: this.key(key) });
    if (rc === 0) return true;
    if (errnoName(-rc) === 'ENOENT') return false;
    throw this.error('delete', rc);
  }

  /** Keys in the kernel's order; deleting the key just yielded is allowed. */
  *keys(): Generator<Uint8Array> {
    let key: Uint8Array | undefined;
    for (;;) {
      const next = new Uint8Array(Math.max(this.spec.keySize, 8));
      const { rc } = bpf(Cmd.MAP_GET_NEXT_KEY, MAP_ELEM, { fd: this.fd, key, value: next });
      if (rc < 0) {
        if (errnoName(-rc) === 'ENOENT') return;
        throw this.error('get_next_key', rc);
      }
      key = next.subarray(0, this.spec.keySize);
      yield key;
    }
  }

  /** No more writes from user space; the verifier may then read it as constants. */
  freeze(): void {
    bpfOrThrow(`freezing map ${this.spec.name}`, Cmd.MAP_FREEZE, MAP_FREEZE, { fd: this.fd });
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    addon().close(this.fd);
  }

  private key(key: Uint8Array): Uint8Array | undefined {
    if (key.length !== this.spec.keySize)
      throw new EtherloomError('ERR_KERNEL_KEY_SIZE', `key of ${key.length} bytes for ${this.spec.name}`, {
        expected: `${this.spec.keySize} bytes`,
      });
    return key.length ? key : undefined;
  }

  private padded(contents: Uint8Array): Uint8Array {
    const value = new Uint8Array(this.valueBytes);
    value.set(contents.subarray(0, value.length));
    return value;
  }

  private error(what: string, rc: number): EtherloomError {
    const name = errnoName(-rc);
    return new EtherloomError(`ERR_KERNEL_${name}`, `${what} in map ${this.spec.name}: ${name}`);
  }
}
