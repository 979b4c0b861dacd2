import { ControlError, Lines, MAX_LINE, parseRequest } from '../../../host/engine/control_protocol.js';
import type { FuzzTarget } from '../../support/fuzz.js';

/** Requests at an engine's control socket: pieces into lines, lines into requests. */
export const target: FuzzTarget = {
  name: 'control',
  maxBytes: 4096,
  // Wall time: one stall of a busy machine is no hang.
  maxMs: 10_000,
  seeds: () =>
    [
      '{"id":1,"method":"list"}\n{"id":"b","method":"about","params":{}}\n',
      '{"id":2,"method":"upgrade","params":{"transport":"near/tcp","object":"/srv/tcp2.bpf.o"}}\n',
      '{"id":3,"method":"upgrade","params":{"transport":"tcp","object":"/o","fresh":["m"],"probationMs":5000,"baselineMs":9}}\n',
      '{"id":null,"method":"stop"}\n\n[]\n"\n',
    ].map(t => Buffer.from(t)),
  run: input => {
    const bytes = Buffer.from(input);
    // However it is cut into pieces, the lines are the same.
    const whole = [...new Lines().take(bytes)];
    const pieces = new Lines();
    const cut = 1 + (bytes[0] ?? 0);
    const parts: (string | undefined)[] = [];
    for (let at = 0; at < bytes.length; at += cut) parts.push(...pieces.take(bytes.subarray(at, at + cut)));
    if (JSON.stringify(whole) !== JSON.stringify(parts)) throw new Error('other lines from other pieces');
    let refused: ControlError | undefined;
    for (const line of whole) {
      if (line === undefined) continue;
      if (Buffer.byteLength(line) > 3 * MAX_LINE) throw new Error('a line that is too long');
      try {
        const request = parseRequest(line);
        if (request.method === 'upgrade' && !request.object.startsWith('/'))
          throw new Error('no path from /');
      } catch (error) {
        // What is wrong with one does not keep the next from being read.
        if (!(error instanceof ControlError) || !error.code.startsWith('ERR_CONTROL_')) throw error;
        refused = error;
      }
    }
    if (refused) throw refused;
  },
  dictionary: [
    '"id":',
    '"method":',
    '"upgrade"',
    '"params":',
    '"object":"/',
    '"fresh":[',
    '__proto__',
    '1e999',
    '\n',
  ],
};
