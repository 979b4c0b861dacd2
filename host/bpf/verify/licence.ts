/** Licences that count as GPL-compatible (kernel: license_is_gpl_compatible). */
const GPL: ReadonlySet<string> = new Set([
  'GPL',
  'GPL v2',
  'GPL and additional rights',
  'Dual BSD/GPL',
  'Dual MIT/GPL',
  'Dual MPL/GPL',
]);

export const isGpl = (license: string): boolean => GPL.has(license);
