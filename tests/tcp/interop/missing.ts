/** Why the kernel cannot be met here: what these tests need beside root and Linux. */
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import { native } from '../../../host/native/load.js';
import { missingTun } from '../../support/netns.js';
import { missingTool } from '../../support/tools.js';

const kernel = kernelAvailable();
const addon = native();

/** Undefined when everything is there. */
export const missing =
  missingTun ??
  (kernel.ok ? undefined : kernel.reason) ??
  (addon.ok ? undefined : addon.reason) ??
  ['ethtool', 'nft', 'tc', 'ss', 'socat', 'nc', 'iperf3', 'curl'].map(missingTool).find(m => m !== undefined);
