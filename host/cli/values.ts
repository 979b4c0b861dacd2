/** Values of options, read and checked. */
import { InvalidArgumentError } from 'commander';

export function wholeNumber(least: number, most: number): (text: string) => number {
  return text => {
    const n = Number(text);
    if (!/^\d+$/.test(text) || n < least || n > most)
      throw new InvalidArgumentError(`expected a whole number from ${least} to ${most}`);
    return n;
  };
}

/** Gbit/s. */
export function rate(text: string): number {
  const n = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || n > 1000)
    throw new InvalidArgumentError('expected Gbit/s, from 0 to 1000');
  return n;
}

export const list = (text: string): string[] => text.split(',').map(part => part.trim());

/** A list, given at once or bit by bit. */
export const append = (text: string, before: string[] = []): string[] => [...before, ...list(text)];
