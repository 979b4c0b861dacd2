/**
 * How a response over Homa says that it is an error: Homa itself knows messages only. A response is the message as it is,
 * unless it begins with these bytes, by chance or because it is an error; then they, and one that says which, stand before it.
 */
import { RpcError } from '../errors.js';
import { MOST_MESSAGE } from '../frame.js';

/** `\xe7rpc` and four bytes that no text has. */
const MARK = [0xe7, 0x72, 0x70, 0x63, 0xff, 0x00, 0xfe, 0x01] as const;
export const ENVELOPE = MARK.length + 1;
export const Enveloped = { RESPONSE: 0, ERROR: 1 } as const;

export const isMarked = (bytes: Uint8Array): boolean =>
  bytes.length >= MARK.length && MARK.every((b, i) => bytes[i] === b);

/** The bytes before an enveloped message. */
export const envelopeHead = (kind: number): Uint8Array => Uint8Array.from([...MARK, kind]);

/** @throws RpcError EMSGSIZE for one that is too long by it */
export function enveloped(kind: number, body: Uint8Array): Uint8Array {
  const all = new Uint8Array(ENVELOPE + body.length);
  if (all.length > MOST_MESSAGE)
    throw new RpcError('EMSGSIZE', `a response of ${body.length} bytes that begins as errors do`);
  all.set(envelopeHead(kind));
  all.set(body, ENVELOPE);
  return all;
}
