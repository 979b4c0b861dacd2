/** Other versions of a transport's object: its sources with a line changed, compiled as bpf-progs/build.mjs does. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findClang, findStrip } from '../../bpf-progs/build.mjs';

const PROGS = fileURLToPath(new URL('../../bpf-progs/', import.meta.url));
const FLAGS =
  '-std=gnu17 -Wall -Wextra -Werror -Wno-unused-parameter -O2 -g -target bpf -mcpu=v3 -Iinclude'.split(' ');

/** Why there are no other versions here. */
export const missingClang: string | undefined =
  findClang() && findStrip() ? undefined : 'clang-19 and llvm-strip';

export interface Edit {
  /** In the transport's folder. */
  file: string;
  from: string;
  to: string;
}

const made = new Map<string, Buffer>();

/** Bytes of the object of such a version. */
export function version(transport: string, edits: readonly Edit[]): Buffer {
  const key = JSON.stringify([transport, edits]);
  const known = made.get(key);
  if (known) return known;
  const folder = mkdtempSync(join(tmpdir(), 'etherloom-swap-'));
  try {
    for (const part of ['include', 'transports'])
      cpSync(join(PROGS, part), join(folder, part), { recursive: true });
    for (const { file, from, to } of edits) {
      const path = join(folder, 'transports', transport, file);
      const text = readFileSync(path, 'utf8');
      if (text.split(from).length !== 2) throw new Error(`${file} has not one "${from}"`);
      writeFileSync(
        path,
        text.replace(from, () => to),
      );
    }
    const object = join(folder, 'out.o');
    const source = `transports/${transport}/${transport}.bpf.c`;
    execFileSync(findClang()!.name, [...FLAGS, '-fdebug-compilation-dir=.', '-c', source, '-o', object], {
      cwd: folder,
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    execFileSync(findStrip()!.name, ['-g', object]);
    const bytes = readFileSync(object);
    made.set(key, bytes);
    return bytes;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Bytes of small.c in this version. */
export function small(n: number): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'etherloom-swap-'));
  try {
    const object = join(folder, 'out.o');
    const source = fileURLToPath(new URL('small.c', import.meta.url));
    execFileSync(findClang()!.name, [...FLAGS, `-DVERSION=${n}`, '-c', source, '-o', object], {
      ...{ cwd: PROGS, stdio: ['ignore', 'inherit', 'pipe'] },
    });
    return readFileSync(object);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Each segment that brings data is acknowledged at once: another ACK policy. */
export const EAGER: Edit = { file: 'input.h', from: 'f->unacked > f->rcv_mss ||', to: 'f->unacked > 0 ||' };
/** A flow with a member more, in front of others. */
export const WIDER: Edit = {
  file: 'flow.h',
  from: '	__u32 mtu;       /* of the path',
  to: '	__u64 upgrades;\n	__u32 mtu;       /* of the path',
};
/** The eight lines of a flow that a message needs are others then. */
export const WIDER_LINES: Edit = {
  file: 'flow.h',
  from: 'LINE_OF(rtt) == 5 && LINE_OF(cc) == 6 && LINE_OF(opt) == LINE_OF(ooo.count),',
  to: 'LINE_OF(rtt) == 5,',
};
/** Reads a byte that nobody proved. */
export const UNSAFE: Edit = {
  file: 'tcp.bpf.c',
  from: '	return s ? icmp_error(ctx, s) : XDP_ABORTED;',
  to: '	return s ? icmp_error(ctx, s) + *(char *)data_of(ctx) : XDP_ABORTED;',
};

/** What brings the flows of before along: the new member tells what it began with. */
export const MIGRATING: Edit = {
  file: 'tcp.bpf.c',
  from: 'license("Dual MIT/GPL");',
  to: `#include "migrate.h"

struct old_flow {
	__u32 id;
	__u8 state;
	__u8 rest[1147];
};

SEC("migrate/tcp_flows")
int widen(struct xdp_md *ctx)
{
	MIGRATE_VALUES(ctx, struct old_flow, was, struct tcp_flow, now);
	now->upgrades = was->state ? 7 : 0;
	return MIGRATE_KEEP;
}

license("Dual MIT/GPL");`,
};
/** The same, and then it does not go on. */
export const FAILING: Edit = {
  ...MIGRATING,
  to: MIGRATING.to.replace('return MIGRATE_KEEP', 'return was->state ? -5 : 0'),
};
