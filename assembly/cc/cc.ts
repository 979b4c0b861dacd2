// Congestion control for transports: which algorithm a flow has, and what happened to it. Called by transport programs
// (kfuncs) on a structure in their maps, in which nothing is believed.
//
//   transport ── el_cc_event(state, ACK | ENTER | LEAVE | RTO | UNDO | IDLE | MSS) ──▶ cwnd, ssthresh, rate in the state
//
// The transport owns what is sent and how loss is found (SACK, RACK, PRR); an algorithm owns the three numbers.
import { CC_USERS, Cc, CcAlgorithm, CcEvent, CcFlag, CC_SIZE } from "../layout.gen";
import { EINVAL } from "../core/errno";
import { bbr, bbrInit } from "./bbr";
import { cubic, cubicInit } from "./cubic";
import { dctcp, dctcpInit, dctcpRate } from "./dctcp";
import { reno } from "./reno";
import { timely, timelyInit } from "./timely";
import { isUsers, userEvent, userInit } from "./user";
import { initialWindow, NO_SSTHRESH } from "./window";

/**
 * Begins anew with `algorithm`. 0, or -EINVAL when there is none of that number. On a live flow (cwnd is set) window and
 * threshold stay, so that a change of the algorithm is no change of the rate. A user's may refuse the flow: it is Reno's
 * then, and the refusal is returned.
 */
export function el_cc_init(at: usize, algorithm: u32, mss: u32): i32 {
  if (algorithm > <u32>CcAlgorithm.BBR && !isUsers(algorithm)) return -EINVAL;
  const cc = changetype<Cc>(at);
  const live = cc.cwnd != 0;
  const cwnd = cc.cwnd;
  const ssthresh = cc.ssthresh;
  const paced = cc.flags & CcFlag.PACED;
  for (let i: usize = 0; i < CC_SIZE; i += 8) store<u64>(at + i, 0);
  cc.algorithm = algorithm;
  cc.mss = mss;
  cc.flags = paced;
  cc.cwnd = live ? cwnd : initialWindow(cc);
  cc.ssthresh = live ? ssthresh : NO_SSTHRESH;
  switch (algorithm) {
    case CcAlgorithm.CUBIC: {
      cubicInit(cc);
      break;
    }
    case CcAlgorithm.DCTCP: {
      cc.flags |= CcFlag.ECT | CcFlag.DCTCP_ECHO;
      dctcpInit(cc);
      break;
    }
    case CcAlgorithm.DCTCP_RATE: {
      cc.flags |= CcFlag.ECT | CcFlag.DCTCP_ECHO | CcFlag.OWN_RECOVERY;
      dctcpInit(cc);
      break;
    }
    case CcAlgorithm.TIMELY: {
      cc.flags |= CcFlag.OWN_RECOVERY;
      timelyInit(cc);
      break;
    }
    case CcAlgorithm.BBR: {
      cc.flags |= CcFlag.OWN_RECOVERY;
      bbrInit(cc);
      break;
    }
    default: {
      if (algorithm < <u32>CcAlgorithm.USER) break;
      const refused = userInit(cc);
      if (refused >= 0) break;
      el_cc_init(at, CcAlgorithm.RENO, mss);
      return refused;
    }
  }
  return 0;
}

/** Tells the flow's algorithm what happened. 0, or -EINVAL when there is none of that number. */
export function el_cc_event(at: usize, eventAt: usize): i32 {
  const cc = changetype<Cc>(at);
  const e = changetype<CcEvent>(eventAt);
  switch (cc.algorithm) {
    case CcAlgorithm.RENO: {
      reno(cc, e);
      return 0;
    }
    case CcAlgorithm.CUBIC: {
      cubic(cc, e);
      return 0;
    }
    case CcAlgorithm.DCTCP: {
      dctcp(cc, e);
      return 0;
    }
    case CcAlgorithm.DCTCP_RATE: {
      dctcpRate(cc, e);
      return 0;
    }
    case CcAlgorithm.TIMELY: {
      timely(cc, e);
      return 0;
    }
    case CcAlgorithm.BBR: {
      bbr(cc, e);
      return 0;
    }
  }
  if (cc.algorithm - <u32>CcAlgorithm.USER >= <u32>CC_USERS) return -EINVAL;
  userEvent(cc, e);
  return 0;
}
