/** BTF: the type information of an object file. Parsed by parse.ts; this file is the model. */
export interface Btf {
  /** Types by id; 0 is void. */
  readonly types: readonly BtfType[];
}

export interface BtfMember {
  name: string;
  /** Type id. */
  type: number;
  bitOffset: number;
  /** 0 for a plain member. */
  bitSize: number;
}

export type BtfType =
  | { kind: 'void' }
  | {
      kind: 'int';
      name: string;
      size: number;
      bits: number;
      bitOffset: number;
      signed: boolean;
      char: boolean;
      bool: boolean;
    }
  | { kind: 'ptr'; type: number }
  | { kind: 'array'; type: number; indexType: number; count: number }
  | { kind: 'struct' | 'union'; name: string; size: number; members: BtfMember[] }
  | { kind: 'enum'; name: string; size: number; signed: boolean; values: { name: string; value: bigint }[] }
  | { kind: 'fwd'; name: string; union: boolean }
  | { kind: 'typedef' | 'volatile' | 'const' | 'restrict'; name: string; type: number }
  | { kind: 'type_tag' | 'decl_tag'; name: string; type: number; component: number }
  | { kind: 'func'; name: string; type: number; linkage: 'static' | 'global' | 'extern' }
  | { kind: 'func_proto'; ret: number; params: { name: string; type: number }[] }
  | { kind: 'var'; name: string; type: number; linkage: 'static' | 'global' | 'extern' }
  | { kind: 'datasec'; name: string; size: number; vars: { type: number; offset: number; size: number }[] }
  | { kind: 'float'; name: string; size: number };
