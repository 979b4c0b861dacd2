export const RING_SIZE: number;
export function maglev(names: readonly string[], size?: number): string[];
export function configuration(): Record<string, unknown[]>;
export function print(config: Record<string, unknown[]>): string;
