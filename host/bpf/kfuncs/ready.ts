/** Kfuncs by which programs say that a stream has something to send. */
import { NET } from '../helpers/helper.js';
import { defineKfuncs } from './kfunc.js';

export const readyKfuncs = defineKfuncs({}, [
  {
    prototype: 'int el_ready(u32 id)',
    types: NET,
    doc: 'Has XDP_GEN run for a stream of this lane at the end of the round. -ENOENT: not open; -EPERM: another lane’s.',
  },
]);
