/** Capture files: reading, writing, and the NIC that plays and makes them. */
export { FrameTimes } from './frame_times.js';
export { type CapturedPacket, type CaptureInterface, LINKTYPE_ETHERNET, MAX_CAPTURED } from './packet.js';
export { CaptureParser, parseCapture } from './parser.js';
export { PcapNic, type PcapNicOptions, type PcapNicStats } from './pcap_nic.js';
export { CaptureReader, readCapture } from './reader.js';
export { encodePcap, type PcapSink, PcapWriter, type PcapWriterOptions } from './writer.js';
