/** The carriers that the tests of this folder are made with. */
import type { WorldOptions } from './rig.js';

export const CARRIERS: { name: string; options: Partial<WorldOptions> }[] = [{ name: 'tcp', options: {} }];
