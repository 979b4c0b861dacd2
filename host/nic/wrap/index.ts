/** Wrappers that go around any NIC. */
export { CaptureNic, type CaptureOptions, capture } from './capture.js';
export { FaultNic, type FaultOptions, type FaultSettings, faults } from './faults.js';
export { TraceNic, type TraceOptions, trace } from './trace.js';
export { type Direction, Wrapper } from './wrapper.js';
