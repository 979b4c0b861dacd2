/**
 * RCU read sections (kernel/bpf/helpers.c). A lane frees nothing that a program can reach while the program runs, so
 * there is nothing to do at run time; the verifier holds programs to the kernel's rules.
 */
import { NET } from '../helpers/helper.js';
import { defineKfuncs } from './kfunc.js';

export const rcuKfuncs = defineKfuncs({}, [
  {
    prototype: 'void bpf_rcu_read_lock(void)',
    types: NET,
    gpl: true,
    rcu: 'enter',
    doc: 'Opens an RCU read section; costs nothing here.',
  },
  {
    prototype: 'void bpf_rcu_read_unlock(void)',
    types: NET,
    gpl: true,
    rcu: 'leave',
    doc: 'Leaves it; every path that opened one does before the program ends or tail-calls.',
  },
]);
