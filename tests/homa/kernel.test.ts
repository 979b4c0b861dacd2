/** Homa's, TCP's and the entrance's programs, offered to Linux: which it takes, and for what exactly it does not take the others. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadElf } from '../../host/bpf/elf/load.js';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { KernelCollection } from '../../host/bpf/kernel/collection.js';
import { kernelFunction } from '../../host/bpf/kernel/kfuncs.js';
import type { CollectionSpec } from '../../host/bpf/spec.js';
import { assert, suite } from '../support/suite.js';

const test = suite('homa: kernel');
const kernel = kernelAvailable();
const missing = kernel.ok ? undefined : kernel.reason;
const OBJECTS = new URL('../../bpf-progs/obj/', import.meta.url).pathname;
const load = (name: string): CollectionSpec =>
  loadElf(readFileSync(join(OBJECTS, `${name}.bpf.o`)), `${name}.bpf.o`);

/** The kernel's verdict: `accepted`, its verifier's line, or why it was not asked. */
function offered(collection: CollectionSpec, program: string): string {
  try {
    const loaded = KernelCollection.load(collection, { programs: [program], log: 'statistics' });
    const result = loaded.loads[program];
    loaded.close();
    return result.accepted ? 'accepted' : `${result.errno} ${result.reason}`;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return `${code} ${message.split(';')[0]}`;
  }
}

/** What of the functions that a program calls are not ours alone, and not Linux's: eTran's searches of trees, and its queues. */
const theirs = (collection: CollectionSpec, program: string): string[] =>
  lacking(collection, program).filter(n => !n.startsWith('el_'));
const lacking = (collection: CollectionSpec, program: string): string[] =>
  [...new Set(Object.values(collection.programs[program].kfuncs ?? {}))]
    .filter(n => kernelFunction(n) === undefined)
    .sort();

const kfunc = (program: string, name: string): string =>
  `ERR_KERNEL_KFUNC ${program} calls ${name}, which this kernel does not have`;
const queue = "ERR_KERNEL_TYPE map carousel: Linux has no pkt_queue, eTran's patch adds it";
const hook = (program: string, type: string): string =>
  `ERR_KERNEL_TYPE ${program} is of type ${type}: Linux has no such hook: it is one of the two that eTran's patch adds`;
const SEARCHES = ['bpf_rbtree_lower_bound', 'bpf_rbtree_next'];

const VERDICTS: Record<string, Record<string, [verdict: string, theirs: string[]]>> = {
  entrance: {
    entrance: ['accepted', []],
    entrance_options: ['accepted', []],
    entrance_icmp: ['accepted', []],
    entrance_gen: [hook('entrance_gen', 'xdp_gen'), []],
    entrance_egress: [hook('entrance_egress', 'xdp_egress'), []],
  },
  homa: {
    homa_ingress: [kfunc('homa_ingress', 'el_packet_sum'), SEARCHES],
    homa_icmp: [kfunc('homa_icmp', 'el_packet_sum'), SEARCHES],
    homa_handover: [kfunc('homa_handover', 'el_packet_sum'), SEARCHES],
    homa_gen: [kfunc('homa_gen', 'el_stream_requests'), SEARCHES],
  },
  tcp: {
    tcp_ingress: [queue, []],
    tcp_icmp: [queue, []],
    tcp_handover: [queue, []],
    tcp_gen: [queue, []],
    tcp_egress: [queue, ['bpf_packet_send', 'bpf_pkt_queue_dequeue', 'bpf_pkt_queue_enqueue']],
  },
};

for (const [object, programs] of Object.entries(VERDICTS))
  test(
    `${object}: what Linux takes of it, and why it does not take the rest`,
    () => {
      const collection = load(object);
      assert.equal(Object.keys(collection.programs).sort(), Object.keys(programs).sort());
      for (const [program, [verdict, functions]] of Object.entries(programs)) {
        assert.is(offered(collection, program), verdict);
        assert.equal(theirs(collection, program), functions, program);
        // Who is not taken has a reason: a function or a hook that Linux lacks, never its verifier's opinion.
        if (verdict.startsWith('ERR_KERNEL_KFUNC')) assert.ok(lacking(collection, program).length > 0);
      }
    },
    { missing },
  );
