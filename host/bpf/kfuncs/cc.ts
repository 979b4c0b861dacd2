/** Kfuncs of congestion control (assembly/cc). */
import { CcEventLayout, CcLayout } from '../../layout/layout.gen.js';
import { NET } from '../helpers/helper.js';
import { defineKfuncs } from './kfunc.js';

export const ccKfuncs = defineKfuncs({ structs: { el_cc: CcLayout.size, el_cc_event: CcEventLayout.size } }, [
  {
    prototype: 'int el_cc_init(struct el_cc *cc, u32 algorithm, u32 mss)',
    types: NET,
    runsPrograms: true,
    doc: 'Begins anew with an algorithm (EL_CC_RENO …). A window that is set stays: on a live flow only the algorithm changes. -EINVAL for one that there is not.',
  },
  {
    prototype: 'int el_cc_event(struct el_cc *cc, const struct el_cc_event *event)',
    types: NET,
    runsPrograms: true,
    doc: 'Tells what happened to the flow (event->kind); cwnd, ssthresh and rate are new then.',
  },
]);
