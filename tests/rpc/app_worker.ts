/** An application of another thread that serves, or calls, and says what came of it. */
import { parentPort, workerData } from 'node:worker_threads';
import { StackApp, type StackTicket } from '../../host/net/burst/stack_app.js';

const { ticket, carrier, limits, serve, call } = workerData as {
  ticket: StackTicket;
  carrier: string;
  limits?: object;
  serve?: number;
  call?: { address: string; port: number; calls: number };
};
const rpc = StackApp.attach(ticket).rpc({ carrier, ...(limits ? { limits } : {}) });
if (serve !== undefined) {
  const server = await rpc.serve({ port: serve }, request => `${request} from a worker`);
  parentPort!.postMessage({ port: server.port });
}
if (call) {
  const calls = Array.from({ length: call.calls }, (_, i) => rpc.call(call, `no. ${i}`));
  parentPort!.postMessage({ answers: (await Promise.all(calls)).map(String) });
}
parentPort!.once('message', () => void rpc.close());
