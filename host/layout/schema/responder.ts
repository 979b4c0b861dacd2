/** What ports answer by themselves, and the neighbours that they learn. */
import { type EnumSchema, f, type StructSchema } from './types.js';

export const responderEnums: EnumSchema[] = [
  {
    name: 'ResponderFlag',
    doc: 'What a responder does: bits of Responder.flags.',
    members: { ARP: 1, ND: 2, ECHO: 4, UNREACHABLE: 8, ROUTER: 16 },
  },
  {
    name: 'ResponderCount',
    doc: 'What a responder counts: indices of ResponderLane.count.',
    members: {
      ARP_ANSWERED: 0,
      ND_ANSWERED: 1,
      ECHO_ANSWERED: 2,
      UNREACHABLE_SENT: 3,
      RATE_LIMITED: 4,
      LEARNED: 5,
      SOLICITED: 6,
      CONFLICTS: 7,
      REFUSED: 8,
    },
  },
  {
    name: 'AddressState',
    doc: 'Whether an address of a port may be used: OwnAddress.state, RFC 4862 §2.',
    members: { TENTATIVE: 0, PREFERRED: 1, DUPLICATE: 2 },
  },
  {
    name: 'NeighbourState',
    doc: 'Neighbour unreachability detection: Learned.state, RFC 4861 §7.3.2.',
    members: { NONE: 0, INCOMPLETE: 1, REACHABLE: 2, STALE: 3, DELAY: 4, PROBE: 5, FAILED: 6 },
  },
];

export const responderStructs: StructSchema[] = [
  {
    name: 'Responder',
    doc: 'What a port answers by itself. Immutable once published, but for the states of its addresses (host/responder/).',
    align: 64,
    fields: [
      f('flags', 'u32', 'ResponderFlag bits'),
      f('count', 'u32', 'Addresses'),
      f('addressesAt', 'u32', 'OwnAddress[count]'),
      f('lanesAt', 'u32', 'ResponderLane[laneCount + 1]'),
      f('errorNs', 'u64', 'ICMP errors: time that one costs, ns'),
      f('burstNs', 'u64', 'ICMP errors: time that can be saved up, ns'),
    ],
  },
  {
    name: 'OwnAddress',
    doc: 'An address of a port. In network order.',
    align: 64,
    fields: [
      f('family', 'u32', 'AF_INET 2 or AF_INET6 10'),
      f('vlan', 'u32', 'VLAN that it belongs to, 0 = untagged'),
      f('bits', 'u32', 'Length of its prefix'),
      f('broadcast', 'u32', 'IPv4: directed broadcast of its network, 0 = none'),
      f('address', 'u32[4]', 'IPv4 in word 0'),
      f('state', 'u32', 'AddressState (atomic, written by the host)'),
      f('conflicts', 'u32', 'Packets that showed it in use by another station (atomic)'),
    ],
  },
  {
    name: 'ResponderLane',
    doc: 'What one lane counted for one responder, and its share of the rate of errors. One writer.',
    align: 64,
    fields: [
      f('count', 'u64[12]', 'By ResponderCount'),
      f('spentNs', 'u64', 'Token bucket as a clock: up to when errors are paid for'),
    ],
  },
  {
    name: 'LearnedTable',
    doc: 'Neighbours learned from ARP and neighbour discovery. Searched in windows of 8 slots from the hash of the key.',
    align: 64,
    fields: [
      f('entriesAt', 'u32', 'Learned[mask + 1]'),
      f('mask', 'u32', 'Slots - 1, a power of two less one'),
      f('probes', 'u32', 'Requests without an answer before a neighbour is given up'),
      f('reachableNs', 'u64', 'How long a confirmation is good'),
      f('delayNs', 'u64', 'From the first use of a stale entry to its first probe'),
      f('retransNs', 'u64', 'Between two requests'),
      f('staleNs', 'u64', 'An entry that nobody used for so long is forgotten'),
      f('failedNs', 'u64', 'A neighbour that did not answer is not asked again for so long'),
    ],
  },
  {
    name: 'Learned',
    doc: 'One learned neighbour. Any lane may write it, between two steps of `sequence`; what a reader saw counts if it did not move.',
    align: 64,
    fields: [
      f('sequence', 'u32', 'Odd while somebody writes (atomic)'),
      f('ifindex', 'u32', 'Port, 0 = free slot'),
      f('family', 'u8', 'AF_INET 2 or AF_INET6 10'),
      f('state', 'u8', 'NeighbourState'),
      f('asked', 'u8', 'Requests sent since the last answer'),
      f('router', 'u8', '1: it says that it is a router'),
      f('life', 'u32', 'Spare word: keeps the address at a multiple of 16'),
      f('address', 'u32[4]', 'Network order; IPv4 in word 0'),
      f('mac', 'u8[8]', 'Hardware address, 6 B'),
      f('sinceNs', 'u64', 'When it came into its state, or was confirmed last'),
      f('usedNs', 'u64', 'When a packet used it last (atomic)'),
      f('askedNs', 'u64', 'When it was asked last'),
    ],
  },
];
