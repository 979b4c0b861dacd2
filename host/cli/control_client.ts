/** The other end of an engine's control socket: one request, one answer. */
import { existsSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { ProbationReport, TransportState, UpgradeReport } from '../engine/transports.js';
import { EtherloomError } from '../errors.js';

/** Longest answer, bytes. */
const MAX_ANSWER = 1 << 20;
/** For so long a socket that is not there is waited for: its engine may just begin, ms. */
const APPEARS_MS = 5000;
const LOOK_MS = 50;

export interface ControlAnswers {
  list: { transports: TransportState[] };
  upgrade: UpgradeReport & { probation?: ProbationReport };
}

const because = (code: string, path: string): string =>
  code === 'ENOENT' ? `there is no engine at ${path} (yet)` : `cannot speak to the engine: ${code}`;

/**
 * Asks, as soon as the socket is there.
 * @throws EtherloomError ERR_CONTROL_CONNECT when nobody listens there or may be spoken to; ERR_CONTROL_ANSWER; what the engine
 * refuses for, with its code
 */
export async function ask<M extends keyof ControlAnswers>(
  path: string,
  method: M,
  params: object = {},
): Promise<ControlAnswers[M]> {
  const late = performance.now() + APPEARS_MS;
  while (!existsSync(path) && performance.now() < late) await new Promise(next => setTimeout(next, LOOK_MS));
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    const pieces: Buffer[] = [];
    let bytes = 0;
    const fail = (code: string, message: string, expected: string, cause?: unknown): void => {
      socket.destroy();
      reject(new EtherloomError(code, message, { file: path, expected, cause }));
    };
    socket.on('connect', () => socket.write(`${JSON.stringify({ id: 1, method, params })}\n`));
    socket.on('error', cause =>
      fail(
        'ERR_CONTROL_CONNECT',
        because((cause as NodeJS.ErrnoException).code ?? cause.message, path),
        'the socket of an engine that runs, opened by --control or engine.openControl(), and its owner',
        cause,
      ),
    );
    socket.on('data', piece => {
      bytes += piece.length;
      pieces.push(piece);
      if (bytes > MAX_ANSWER) return fail('ERR_CONTROL_ANSWER', 'an answer too long', `${MAX_ANSWER} bytes`);
      if (!piece.includes(10)) return;
      const line = Buffer.concat(pieces).toString('utf8').split('\n')[0];
      try {
        const { result, error } = JSON.parse(line) as {
          result?: ControlAnswers[M];
          error?: { code: string; message: string };
        };
        socket.destroy();
        if (error) reject(new EtherloomError(error.code, error.message));
        else resolve(result!);
      } catch (cause) {
        fail('ERR_CONTROL_ANSWER', 'an answer that is no JSON', 'the control socket of an engine', cause);
      }
    });
    socket.on('close', () => fail('ERR_CONTROL_ANSWER', 'the engine ended before it answered', 'an answer'));
  });
}
