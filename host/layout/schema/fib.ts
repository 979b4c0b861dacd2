/** Routes and neighbours, as bpf_fib_lookup and the redirects read them. */
import { f, type StructSchema } from './types.js';

export const fibStructs: StructSchema[] = [
  {
    name: 'Fib',
    doc: 'Routes and neighbours, immutable once published: a change makes a new one (host/engine/routes.ts).',
    align: 64,
    fields: [
      f('tablesAt', 'u32', 'FibTable[tables]'),
      f('tables', 'u32', 'How many'),
      f('neighboursAt', 'u32', 'Neighbour[neighbourMask + 1], open addressing'),
      f('neighbourMask', 'u32', 'Slots - 1, a power of two less one'),
      f('noForward4', 'u32[8]', 'Bit per ifindex: IPv4 forwarding is off there'),
      f('noForward6', 'u32[8]', 'Bit per ifindex: IPv6 forwarding is off there'),
    ],
  },
  {
    name: 'FibTable',
    doc: 'One routing table and family: the address space cut where the best route changes, searched by halving.',
    fields: [
      f('id', 'u32', 'RT_TABLE_*'),
      f('family', 'u32', 'AF_INET 2 or AF_INET6 10'),
      f('count', 'u32', 'Pieces'),
      f('startsAt', 'u32', 'First addresses, ascending: u32[count], or {u64 high, u64 low}[count]'),
      f('routesAt', 'u32', 'u32[count]: FibRoute of each piece, 0 = no route'),
    ],
  },
  {
    name: 'FibRoute',
    doc: 'One route. Addresses in network order.',
    fields: [
      f('type', 'u32', 'RTN_*: 1 unicast, 2 local, 6 blackhole, 7 unreachable, 8 prohibit, 9 throw'),
      f('ifindex', 'u32', 'Port'),
      f('metric', 'u32', 'Priority: lower wins'),
      f('mtu', 'u32', "Of the route, 0 = the port's"),
      f(
        'nextAt',
        'u32',
        'What is tried when this one does not fit: same prefix with a higher metric, then a shorter prefix',
      ),
      f('gatewayFamily', 'u32', '0 = the destination is on the link'),
      f('gateway', 'u32[4]', 'Next hop'),
      f('source', 'u32[4]', 'Preferred source, 0 = none'),
    ],
  },
  {
    name: 'Neighbour',
    doc: 'Hardware address of a neighbour.',
    fields: [
      f('ifindex', 'u32', 'Port, 0 = free slot'),
      f('family', 'u32', 'AF_INET 2 or AF_INET6 10'),
      f('address', 'u32[4]', 'Network order; IPv4 in word 0'),
      f('mac', 'u8[8]', 'Hardware address, 6 B'),
    ],
  },
];
