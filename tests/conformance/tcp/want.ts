/** What a script expects of a number that it does not know exactly, and how that reads in a failure. */

export interface Matcher<T> {
  text: string;
  test(value: T | undefined): boolean;
}

/** A value, or a description of it. */
export type Want<T> = T | Matcher<T>;

export const any: Matcher<never> = { text: 'anything', test: v => v !== undefined };
/** The field must not be there. */
export const none: Matcher<never> = { text: 'none', test: v => v === undefined };
export const between = (from: number, to: number): Matcher<number> => ({
  text: `${from} … ${to}`,
  test: v => v !== undefined && v >= from && v <= to,
});
export const atLeast = (least: number): Matcher<number> => ({
  text: `≥ ${least}`,
  test: v => v !== undefined && v >= least,
});
export const atMost = (most: number): Matcher<number> => ({
  text: `≤ ${most}`,
  test: v => v !== undefined && v <= most,
});
export const oneOf = <T>(...values: T[]): Matcher<T> => ({
  text: values.map(valueText).join(' or '),
  test: v => values.some(x => same(x, v)),
});
export const not = <T>(value: T): Matcher<T> => ({
  text: `not ${valueText(value)}`,
  test: v => !same(value, v),
});

const isMatcher = (w: unknown): w is Matcher<unknown> =>
  typeof w === 'object' && w !== null && 'test' in w && 'text' in w;

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

export const valueText = (value: unknown): string => {
  if (value === undefined) return 'none';
  if (Array.isArray(value))
    return value.map(v => (Array.isArray(v) ? v.join(':') : valueText(v))).join(' ') || 'none';
  return String(value);
};

export const wantText = (want: unknown): string => (isMatcher(want) ? want.text : valueText(want));

export const matches = (want: unknown, value: unknown): boolean =>
  isMatcher(want) ? want.test(value) : same(want, value);
