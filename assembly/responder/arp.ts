// ARP as RFC 826 has it, with the conflict detection of RFC 5227. Called for every ARP packet to a port that answers ARP,
// and takes all of them: nobody behind it needs to see one.
import { AddressState, OwnAddress, Port, Responder, ResponderCount } from "../layout.gen";
import * as arp from "../wire/arp";
import * as eth from "../wire/eth";
import { ARP_SPA, ArpOper, WireStatus } from "../wire/layout.gen";
import { LEARN_CONFIRMED, LEARN_CREATE, LEARN_OVERRIDE, learn } from "./neighbours";
import { Outcome, reply } from "./outcome";
import { AF_INET, own4, preferred, stateOf, tally } from "./own";
import { macOf } from "./solicit";

/** Somebody else uses one of our addresses: the host decides what then (host/responder/). */
export function conflict(r: Responder, own: OwnAddress): void {
  tally(r, ResponderCount.CONFLICTS);
  atomic.add<u32>(changetype<usize>(own), 1, offsetof<OwnAddress>("conflicts"));
}

/** 0.0.0.0/8, 127.0.0.0/8, and everything from 224.0.0.0 up is no address of a host; `ip` as in memory. */
export function martian4(ip: u32): bool {
  const first = ip & 0xff;
  return first == 0 || first == 127 || first >= 224;
}

export function sameMac(a: usize, b: usize): bool {
  return load<u32>(a) == load<u32>(b) && load<u16>(a, 4) == load<u16>(b, 4);
}

export function answerArp(r: Responder, port: Port, p: usize, at: u32, len: u32, vlan: u32): Outcome {
  const a = p + at;
  if (arp.check(a, len - at) != WireStatus.OK) return Outcome.PASS;
  const mac = macOf(port);
  const from = arp.sha(a);
  // A station speaks with its own address; what has ours came around.
  if (load<u8>(from) & 1) return Outcome.BAD;
  if (sameMac(from, mac)) return Outcome.TAKEN;
  const spa = arp.spa(a);
  const tpa = arp.tpa(a);
  const request = arp.oper(a) == ArpOper.REQUEST;
  const target = own4(r, vlan, tpa);

  const claimed = own4(r, vlan, spa);
  if (changetype<usize>(claimed) != 0) {
    conflict(r, claimed);
    return Outcome.TAKEN;
  }
  // A probe for the address that we are probing ourselves (RFC 5227 §2.1.1).
  if (spa == 0 && changetype<usize>(target) != 0 && stateOf(target) == AddressState.TENTATIVE) {
    conflict(r, target);
    return Outcome.TAKEN;
  }
  const ours = preferred(target);
  if (spa != 0) {
    if (martian4(spa)) return Outcome.BAD;
    // RFC 826: who is known is brought up to date, who speaks to us becomes known.
    if (vlan == 0) {
      let how = LEARN_OVERRIDE;
      if (ours) how |= LEARN_CREATE;
      if (ours && !request && (load<u8>(p) & 1) == 0) how |= LEARN_CONFIRMED;
      learn(r, port.ifindex, AF_INET, a + ARP_SPA, from, how);
    }
  }
  if (!request || !ours) return Outcome.TAKEN;

  eth.copy_mac(eth.dst(p), from);
  eth.copy_mac(eth.src(p), mac);
  arp.emit(a, ArpOper.REPLY, mac, tpa, eth.dst(p), spa);
  tally(r, ResponderCount.ARP_ANSWERED);
  return reply(p, len);
}
