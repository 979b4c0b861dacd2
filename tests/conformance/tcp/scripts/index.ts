/** Every topic. */
import './handshake.js';
import './connect.js';
import './half_open.js';
import './close.js';
import './time_wait.js';
import './reset.js';
import './acceptability.js';
import './reassembly.js';
import './sack_receiver.js';
import './timestamps.js';
import './options.js';
import './window.js';
import './nagle.js';
import './urgent.js';
import './rto.js';
import './recovery.js';
import './sack_sender.js';
import './congestion.js';
import './ecn.js';
import './keepalive.js';
import './backlog.js';
import './icmp.js';
import './malformed.js';
import './ipv6.js';
import './attacks.js';

export { scripts as allScripts } from '../script.js';
