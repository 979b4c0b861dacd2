/** Whether this machine can be the oracle. */
import { existsSync } from 'node:fs';
import { missingTun } from '../../../support/netns.js';
import { missingTool } from '../../../support/tools.js';

/** Scripts set the least retransmission timeout of a namespace. */
const RTO_MIN = '/proc/sys/net/ipv4/tcp_rto_min_us';

/** Why there is no oracle here; undefined when there is. */
export const missingOracle: string | undefined =
  missingTun ??
  missingTool('python3') ??
  (existsSync(RTO_MIN) ? undefined : `there is no ${RTO_MIN}, the kernel is older than Linux 6.11`);
