/** What capture files are made of, whatever their format. */

/** Link type of Ethernet frames (LINKTYPE_ETHERNET, tcpdump.org/linktypes.html): the only one NICs take. */
export const LINKTYPE_ETHERNET = 1;

/**
 * Longest packet taken from a file, bytes: what libpcap allows (MAXIMUM_SNAPLEN). A larger length is damage, not data;
 * the bound keeps a hostile length from making the reader collect the rest of the file.
 */
export const MAX_CAPTURED = 262_144;

/** An interface that packets of a file were captured on. A pcap file has one, a pcapng file any number. */
export interface CaptureInterface {
  /** Number in the file, over all its sections. */
  index: number;
  /** LINKTYPE_* */
  linkType: number;
  /** Most bytes kept of a packet; 0: no limit. */
  snaplen: number;
  /** if_name of pcapng. */
  name?: string;
}

export interface CapturedPacket {
  /** The bytes kept. */
  data: Uint8Array;
  /** Bytes the packet had on the wire; more than `data.length` when it was cut at the snap length. */
  originalLength: number;
  /** Since 1970, ns. 0 for pcapng's simple packets, which have no time. */
  timestampNs: bigint;
  interface: CaptureInterface;
  /** Where the record begins in the file, bytes. */
  offset: number;
}
