/**
 * A program of an object at an interface of the real kernel, in one step: loaded, its maps filled, attached by a link
 * that ends with this process: XDP in the driver or after it, tc by TCX. What `etherloom attach --engine kernel` does, for programs of one's own.
 */
import { readFileSync } from 'node:fs';
import { EtherloomError } from '../../errors.js';
import { configureGlobals, configureKernelMaps, type MapConfig } from '../config.js';
import type { KeyedMap } from '../maps/keyed.js';
import { chooseProgram, openObject } from '../open.js';
import { programTypes } from '../program_types.js';
import type { CollectionSpec } from '../spec.js';
import { KernelCollection } from './collection.js';
import { KernelLink, type XdpMode } from './link.js';

export interface KernelAttachOptions {
  /** Name of the program. Default: the only one, or the first. */
  program?: string;
  /** Of an XDP program. Default: native where the driver can, else generic with the reason in `reason`. */
  mode?: XdpMode;
  /** Contents of maps, and global variables that are set before loading. */
  config?: MapConfig;
}

export class KernelAttachment {
  private constructor(
    /** Name of the program. */
    readonly program: string,
    /** The interface. */
    readonly target: { readonly name: string; readonly ifindex: number },
    readonly kernel: KernelCollection,
    readonly link: KernelLink<string>,
  ) {}

  /** @internal attachKernel */
  static create(
    object: CollectionSpec | string,
    name: string,
    options: KernelAttachOptions = {},
  ): KernelAttachment {
    const spec = typeof object === 'string' ? openObject(object) : object;
    const program = chooseProgram(spec, options.program);
    const { kernelLink, notInKernel } = programTypes[program.type];
    if (!kernelLink)
      throw new EtherloomError(
        'ERR_PROGRAM_TYPE',
        `${program.name} is of type ${program.type}, which cannot be attached to an interface of the kernel: ${notInKernel}`,
        { expected: 'a program of type xdp or tc, or the engine' },
      );
    const ifindex = ifindexOf(name);
    if (options.config) configureGlobals(spec, options.config);
    const kernel = KernelCollection.load(spec, { log: 'statistics' });
    try {
      const loaded = kernel.program(program.name);
      if (options.config) configureKernelMaps(kernel, options.config);
      const link: KernelLink<string> =
        kernelLink === 'tcx'
          ? KernelLink.attachTc(loaded, ifindex)
          : KernelLink.attachXdp(loaded, ifindex, options.mode);
      return new KernelAttachment(program.name, { name, ifindex }, kernel, link);
    } catch (error) {
      kernel.close();
      throw error;
    }
  }

  /** How it is attached, and why so. */
  get mode(): string {
    return this.link.mode;
  }

  get reason(): string {
    return this.link.reason;
  }

  /**
   * A map by its name in the object, of the class that it has in the engine; devmaps take numbers of the kernel's
   * interfaces. It can be read after the interface is gone, until `close`.
   * @throws EtherloomError ERR_COLLECTION_MAP; MapError EOPNOTSUPP for types whose entries are programs, maps or records
   */
  map<M extends KeyedMap = KeyedMap>(name: string): M {
    return this.kernel.map<M>(name);
  }

  /** Takes the program away from the interface; maps stay open. */
  detach(): void {
    this.link.close();
  }

  /** Takes the program away and closes the maps. */
  close(): void {
    this.link.close();
    this.kernel.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Attaches an XDP or tc program to an interface of this process's network namespace, in the kernel.
 * @param object a compiled object or SPEC.json, or what was read from one; its global variables are set in place
 * @throws EtherloomError ERR_NIC_ENODEV, ERR_PROGRAM_TYPE, ERR_KERNEL_*, ERR_CONFIG_*, and those of reading the object
 */
export const attachKernel = (
  object: CollectionSpec | string,
  name: string,
  options?: KernelAttachOptions,
): KernelAttachment => KernelAttachment.create(object, name, options);

function ifindexOf(name: string): number {
  try {
    if (!/^[^/]+$/.test(name)) throw new Error('no name of an interface');
    return Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));
  } catch (cause) {
    throw new EtherloomError('ERR_NIC_ENODEV', `no interface ${name} in this network namespace`, {
      cause,
      expected: 'one that etherloom nics lists',
    });
  }
}
