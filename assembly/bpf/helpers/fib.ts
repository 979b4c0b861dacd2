// bpf_fib_lookup against the engine's own routes (net/core/filter.c, bpf_ipv4_fib_lookup and its sister).
// The tables are immutable: host/engine/routes.ts publishes a new Fib for each change, so a reader takes the
// address once and needs no lock.
import {
  Fib, FIB_TABLE_SIZE, FibRoute, FibTable, MAX_PORTS, NEIGHBOUR_SIZE, Neighbour, PORT_SIZE, Port, PortFlag, SkBuff,
} from "../../layout.gen";
import { ARENA_HEADER_AT, ARENA_HEADER_FIB_AT } from "../../layout.gen";
import { header } from "../../core/lane";
import { learnedMac, neighbourHash } from "../../responder/neighbours";
import { EAFNOSUPPORT, EINVAL, ENODEV } from "./errno";
import { ETH_SIZE as ETH_HLEN, VLAN_SIZE as VLAN_HLEN } from "../../wire/layout.gen";

export const AF_INET: u32 = 2;
export const AF_INET6: u32 = 10;

const RTN_UNICAST: u32 = 1;
const RTN_BLACKHOLE: u32 = 6;
const RTN_UNREACHABLE: u32 = 7;
const RTN_PROHIBIT: u32 = 8;
const RTN_THROW: u32 = 9;
const RT_TABLE_MAIN: u32 = 254;
const RT_TABLE_LOCAL: u32 = 255;

const RET_SUCCESS: i32 = 0;
const RET_BLACKHOLE: i32 = 1;
const RET_UNREACHABLE: i32 = 2;
const RET_PROHIBIT: i32 = 3;
const RET_NOT_FWDED: i32 = 4;
const RET_FWD_DISABLED: i32 = 5;
const RET_NO_NEIGH: i32 = 7;
const RET_FRAG_NEEDED: i32 = 8;
const RET_NO_SRC_ADDR: i32 = 9;

const F_DIRECT: u32 = 1;
const F_OUTPUT: u32 = 1 << 1;
const F_SKIP_NEIGH: u32 = 1 << 2;
const F_TBID: u32 = 1 << 3;
const F_SRC: u32 = 1 << 4;
const F_ALL: u32 = 0x3f;

/** struct bpf_fib_lookup (include/uapi/linux/bpf.h). */
const PARAMS_BYTES: u32 = 64;
const TOT_LEN: usize = 6;
const IFINDEX: usize = 8;
const METRIC: usize = 12;
const SRC: usize = 16;
const DST: usize = 32;
const TBID: usize = 48;
const SMAC: usize = 52;
const DMAC: usize = 58;

// @ts-ignore: decorator
@inline function fib(): Fib { return changetype<Fib>(<usize>atomic.load<u32>(ARENA_HEADER_AT, ARENA_HEADER_FIB_AT)); }

/** Port with that number, null when there is none. */
// @ts-ignore: decorator
@inline export function portOf(ifindex: u32): Port {
  if (ifindex - 1 >= MAX_PORTS - 1) return changetype<Port>(0);
  const port = changetype<Port>(<usize>(header().portsAt + ifindex * PORT_SIZE));
  return port.ifindex ? port : changetype<Port>(0);
}

// @ts-ignore: decorator
@inline function bitAt(words: usize, n: u32): bool {
  return (load<u32>(words + ((n >> 5) << 2)) >> (n & 31) & 1) != 0;
}

/** First route for the address at `addr` in a table: the longest prefix with the lowest metric, or null. */
function find(table: FibTable, addr: usize): FibRoute {
  let low: u32 = 0;
  let high = table.count; // piece 0 starts at address 0: the answer lies in [low, high)
  if (table.family == AF_INET) {
    const a = bswap<u32>(load<u32>(addr));
    while (high - low > 1) {
      const mid = (low + high) >> 1;
      if (load<u32>(table.startsAt + (mid << 2)) <= a) low = mid;
      else high = mid;
    }
  } else {
    const h = bswap<u64>(load<u64>(addr));
    const l = bswap<u64>(load<u64>(addr, 8));
    while (high - low > 1) {
      const mid = (low + high) >> 1;
      const at: usize = table.startsAt + (mid << 4);
      const mh = load<u64>(at);
      if (mh < h || (mh == h && load<u64>(at, 8) <= l)) low = mid;
      else high = mid;
    }
  }
  return changetype<FibRoute>(<usize>load<u32>(table.routesAt + (low << 2)));
}

function tableOf(f: Fib, id: u32, family: u32): FibTable {
  for (let i: u32 = 0; i < f.tables; i++) {
    const t = changetype<FibTable>(<usize>(f.tablesAt + i * FIB_TABLE_SIZE));
    if (t.id == id && t.family == family) return t;
  }
  return changetype<FibTable>(0);
}

/** Route in one table; with `oif` the first that leaves through that port. Null: go on with the next table. */
function inTable(t: FibTable, addr: usize, oif: u32): FibRoute {
  if (changetype<usize>(t) == 0) return changetype<FibRoute>(0);
  let r = find(t, addr);
  while (changetype<usize>(r) != 0) {
    if (r.type == RTN_THROW) break;
    if (!oif || r.ifindex == oif || (r.type >= RTN_BLACKHOLE && r.type <= RTN_PROHIBIT)) return r;
    r = changetype<FibRoute>(<usize>r.nextAt);
  }
  return changetype<FibRoute>(0);
}

/** Route by table `id`, or by local and main when it is 0. */
export function routeTo(family: u32, id: u32, addr: usize, oif: u32): FibRoute {
  const f = fib();
  if (changetype<usize>(f) == 0) return changetype<FibRoute>(0);
  if (id) return inTable(tableOf(f, id, family), addr, oif);
  const local = inTable(tableOf(f, RT_TABLE_LOCAL, family), addr, oif);
  if (changetype<usize>(local) != 0) return local;
  return inTable(tableOf(f, RT_TABLE_MAIN, family), addr, oif);
}

/** Hardware address of the neighbour at `addr` (4 or 16 bytes) on a port, given or learned: where it stands, or 0. */
export function neighbourMac(ifindex: u32, family: u32, addr: usize): usize {
  const given = givenMac(ifindex, family, addr);
  return given != 0 ? given : learnedMac(ifindex, family, addr);
}

function givenMac(ifindex: u32, family: u32, addr: usize): usize {
  const f = fib();
  if (changetype<usize>(f) == 0 || f.neighboursAt == 0) return 0;
  const v6 = family == AF_INET6;
  const a = load<u32>(addr);
  const b: u32 = v6 ? load<u32>(addr, 4) : 0;
  const c: u32 = v6 ? load<u32>(addr, 8) : 0;
  const d: u32 = v6 ? load<u32>(addr, 12) : 0;
  // The table is at most half full, so a free slot ends every walk.
  let i = neighbourHash(ifindex, a, b, c, d);
  for (let left = f.neighbourMask; left; left--, i++) {
    const n = changetype<Neighbour>(<usize>(f.neighboursAt + (i & f.neighbourMask) * NEIGHBOUR_SIZE));
    if (n.ifindex == 0) break;
    if (n.ifindex == ifindex && n.family == family && n.address0 == a && n.address1 == b && n.address2 == c &&
        n.address3 == d)
      return changetype<usize>(n) + offsetof<Neighbour>("mac0");
  }
  return 0;
}

// @ts-ignore: decorator
@inline export function copyMac(to: usize, from: usize): void {
  store<u32>(to, load<u32>(from));
  store<u16>(to, load<u16>(from, 4), 4);
}

/** rt6_need_strict: multicast, link-local and loopback addresses are never forwarded. */
function strict6(addr: usize): bool {
  const first: u32 = load<u8>(addr);
  if (first == 0xff) return true;
  if (first == 0xfe && (load<u8>(addr, 1) & 0xc0) == 0x80) return true;
  return load<u64>(addr) == 0 && load<u64>(addr, 8) == bswap<u64>(1);
}

function lookup(p: usize, flags: u32, checkMtu: bool): i32 {
  const family: u32 = load<u8>(p);
  const v6 = family == AF_INET6;
  if (v6 && (strict6(p + DST) || strict6(p + SRC))) return RET_NOT_FWDED;
  const ifindex = load<u32>(p, IFINDEX);
  const from = portOf(ifindex);
  if (changetype<usize>(from) == 0) return -ENODEV;
  const f = fib();
  if (changetype<usize>(f) == 0) return RET_NOT_FWDED;
  const off = changetype<usize>(f) + (v6 ? offsetof<Fib>("noForward60") : offsetof<Fib>("noForward40"));
  if (bitAt(off, ifindex)) return RET_FWD_DISABLED;

  let id: u32 = 0;
  if (flags & F_DIRECT) {
    id = RT_TABLE_MAIN;
    if (flags & F_TBID) {
      id = load<u32>(p, TBID);
      store<u32>(p, 0, TBID);
      if (!id) return RET_NOT_FWDED;
    }
  }
  const r = routeTo(family, id, p + DST, flags & F_OUTPUT ? ifindex : 0);
  if (changetype<usize>(r) == 0) return RET_NOT_FWDED;
  switch (r.type) {
    case RTN_UNICAST: break;
    case RTN_BLACKHOLE: return RET_BLACKHOLE;
    case RTN_UNREACHABLE: return RET_UNREACHABLE;
    case RTN_PROHIBIT: return RET_PROHIBIT;
    default: return RET_NOT_FWDED;
  }
  const to = portOf(r.ifindex);
  if (changetype<usize>(to) == 0) return RET_NOT_FWDED;
  let mtu: u32 = 0;
  if (checkMtu) {
    mtu = r.mtu ? r.mtu : to.mtu;
    if (load<u16>(p, TOT_LEN) > mtu) {
      store<u16>(p, <u16>mtu, TOT_LEN);
      return RET_FRAG_NEEDED;
    }
  }
  store<u32>(p, r.metric, METRIC);
  store<u32>(p, r.ifindex, IFINDEX);
  if (flags & F_SRC) {
    const source = changetype<usize>(r) + offsetof<FibRoute>("source0");
    if (v6) {
      if (!load<u64>(source) && !load<u64>(source, 8)) return RET_NO_SRC_ADDR;
      memory.copy(p + SRC, source, 16);
    } else {
      store<u32>(p, load<u32>(source), SRC);
    }
  }
  let hop = family;
  if (r.gatewayFamily) {
    hop = r.gatewayFamily;
    memory.copy(p + DST, changetype<usize>(r) + offsetof<FibRoute>("gateway0"), hop == AF_INET6 ? 16 : 4);
    store<u8>(p, <u8>hop);
  }
  if (!(flags & F_SKIP_NEIGH)) {
    const mac = neighbourMac(r.ifindex, hop, p + DST);
    if (!mac) return RET_NO_NEIGH;
    copyMac(p + DMAC, mac);
    copyMac(p + SMAC, changetype<usize>(to) + offsetof<Port>("mac0"));
  }
  store<u32>(p, 0, TBID); // h_vlan_proto and h_vlan_TCI
  if (mtu) store<u16>(p, <u16>mtu, TOT_LEN);
  return RET_SUCCESS;
}

function refused(params: usize, size: u32, flags: u32): i32 {
  if (size < PARAMS_BYTES || flags & ~F_ALL) return -EINVAL;
  const family: u32 = load<u8>(params);
  return family == AF_INET || family == AF_INET6 ? 0 : -EAFNOSUPPORT;
}

export function xdp_fib_lookup(_ctx: usize, params: usize, size: u32, flags: u32): i32 {
  const err = refused(params, size, flags);
  return err ? err : lookup(params, flags, true);
}

export function skb_fib_lookup(ctx: usize, params: usize, size: u32, flags: u32): i32 {
  const err = refused(params, size, flags);
  if (err) return err;
  const given = load<u16>(params, TOT_LEN) != 0;
  let rc = lookup(params, flags, given);
  if (rc == RET_SUCCESS && !given) {
    // No length given: the packet itself is measured (is_skb_forwardable).
    const to = portOf(load<u32>(params, IFINDEX));
    const fits = changetype<SkBuff>(ctx).len <= to.mtu + ETH_HLEN + VLAN_HLEN;
    if (!(to.flags & PortFlag.UP) || !fits) rc = RET_FRAG_NEEDED;
    store<u16>(params, <u16>to.mtu, TOT_LEN);
  }
  return rc;
}

const MTU_FRAG_NEEDED: i32 = 1;
const MTU_CHK_SEGS: u64 = 1;

/** bpf_check_mtu: `len` is the packet's; *mtuLen in: layer-3 length to check instead, out: the port's MTU. */
function checkMtu(own: u32, ifindex: u32, len: i64, mtuLen: usize, diff: i32): i32 {
  const port = portOf(ifindex ? ifindex : own);
  if (changetype<usize>(port) == 0) return -ENODEV;
  const asked = load<u32>(mtuLen);
  if (asked) len = <i64>asked + ETH_HLEN;
  const fits = len + diff <= <i64>port.mtu + ETH_HLEN;
  store<u32>(mtuLen, port.mtu);
  return fits ? 0 : MTU_FRAG_NEEDED;
}

export function xdp_check_mtu(ctx: usize, ifindex: u32, mtuLen: usize, diff: i32, flags: u64): i32 {
  if (flags) return -EINVAL;
  // struct xdp_md: data, data_end, …, ingress_ifindex
  return checkMtu(load<u32>(ctx, 12), ifindex, <i64>load<u32>(ctx, 4) - <i64>load<u32>(ctx), mtuLen, diff);
}

export function skb_check_mtu(ctx: usize, ifindex: u32, mtuLen: usize, diff: i32, flags: u64): i32 {
  if (flags & ~MTU_CHK_SEGS || (flags & MTU_CHK_SEGS && (diff || load<u32>(mtuLen)))) return -EINVAL;
  const skb = changetype<SkBuff>(ctx);
  return checkMtu(skb.ifindex, ifindex, skb.len, mtuLen, diff);
}
