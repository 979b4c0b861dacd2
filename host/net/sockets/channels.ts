/** Names of diagnostics_channel: each is told `{ socket }`, as `net.client.socket` and `net.server.socket` are. */
import { channel } from 'node:diagnostics_channel';

/** A socket that `connect` of a stack has made. */
export const clientSocket = channel('etherloom.client.socket');
/** A socket that came to a server of a stack, before its `connection`. */
export const serverSocket = channel('etherloom.server.socket');
