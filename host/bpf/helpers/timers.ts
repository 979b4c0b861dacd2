/** Helpers on the bpf_timer of a map value (kernel/bpf/helpers.c); eTran's kinds are flags beyond the kernel's. */
import { a, BASE, type Helper } from './helper.js';

export const timerHelpers: readonly Helper[] = [
  {
    id: 169,
    name: 'timer_init',
    args: a('timer', 'const_map_ptr', 'anything'),
    ret: 'integer',
    types: BASE,
    gpl: true,
    wasm: { name: 'timer_init', args: 'ppd', result: 'i' },
    doc: 'Makes the timer of a map value; flags name the clock: CLOCK_MONOTONIC, _REALTIME or _BOOTTIME.',
  },
  {
    id: 170,
    name: 'timer_set_callback',
    args: a('timer', 'func'),
    ret: 'integer',
    types: BASE,
    gpl: true,
    asyncCallback: true,
    wasm: { name: 'timer_set_callback', args: 'pw', result: 'i' },
    doc: 'What is called when it fires: callback(map, key, value), which returns 0.',
  },
  {
    id: 171,
    name: 'timer_start',
    args: a('timer', 'anything', 'anything'),
    ret: 'integer',
    types: BASE,
    gpl: true,
    wasm: { name: 'timer_start', args: 'pdd', result: 'i' },
    doc: 'Fires it in this lane after so many ns, or at a time (BPF_F_TIMER_ABS); an armed one is started anew.',
  },
  {
    id: 172,
    name: 'timer_cancel',
    args: a('timer'),
    ret: 'integer',
    types: BASE,
    gpl: true,
    wasm: { name: 'timer_cancel', args: 'p', result: 'i' },
    doc: 'Disarms it, waits for its callback and forgets that; returns 1 if it was armed.',
  },
];
