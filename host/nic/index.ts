/** NICs: everything that packets come from and go to. */
export * from './af_xdp/index.js';
export { type NicAvailability, nicAvailable } from './available.js';
export type { DriverPlan, LaneDriver } from './driver.js';
export { HostNic, type HostNicOptions } from './host_nic.js';
export { JointEnd, type JointOptions, joint } from './joint.js';
export type { LinkSettings, LinkStats, PrioritySettings, QueueStats } from './link.js';
export { ModelEnd, type ModelOptions, modelLink } from './model.js';
export type { Nic, NicEnv, NicKind } from './nic.js';
export * from './pcap/index.js';
export { MAX_PACKET, Port, type PortOptions } from './port.js';
export { ReplayEnd, ReplayNic, type ReplayOptions, type Templates } from './replay.js';
export { RSS_ENTRIES, RssTable, rssHashOf, SYMMETRIC_KEY } from './rss.js';
export * from './tap/index.js';
export * from './wrap/index.js';
