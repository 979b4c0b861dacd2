/** What a layout is said in: plain data. */
export type ScalarType = 'u8' | 'u16' | 'u32' | 'u64' | 'i32' | 'i64';
export type FieldType = ScalarType | `${ScalarType}[${number}]`;

export interface FieldSchema {
  name: string;
  type: FieldType;
  doc: string;
  /** Start this field on its own cache line (64 B), so that two writers do not share one. */
  cacheLine?: boolean;
}

export interface StructSchema {
  name: string;
  doc: string;
  fields: FieldSchema[];
  /** Round the size up to a multiple of this many bytes. */
  align?: number;
  /** Its name in C, where programs know it by one of their own. Default etherloom_NAME. */
  c?: string;
}

export interface ConstSchema {
  name: string;
  value: number;
  doc: string;
  /** Its name in C. Default ETHERLOOM_NAME. */
  c?: string;
}

/** One closed set of numbers. Becomes a `const enum` in AssemblyScript and a frozen object in TypeScript. */
export interface EnumSchema {
  name: string;
  doc: string;
  members: Record<string, number>;
  /** Prefix of its members in C; without it programs do not see them. */
  c?: string;
}

/** One field of a structure. */
export const f = (
  name: string,
  type: FieldType,
  doc: string,
  more: Partial<FieldSchema> = {},
): FieldSchema => ({
  name,
  type,
  doc,
  ...more,
});
