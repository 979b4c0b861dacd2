/** Whether this machine can be the oracle. */
import { missingTun } from '../../../support/netns.js';
import { missingTool } from '../../../support/tools.js';

/** Why there is no oracle here; undefined when there is. */
export const missingOracle: string | undefined = missingTun ?? missingTool('python3');
