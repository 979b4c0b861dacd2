/** Requests of memcached's binary protocol: in pieces as in one, every answer is a whole one and to a request. */
import {
  ANSWER,
  ASK,
  bodyBytesOf,
  HEADER_BYTES,
  Opcode,
  Status,
  statusOf,
  writeHeader,
} from '../../../host/apps/kv/protocol.js';
import { KvSession } from '../../../host/apps/kv/session.js';
import { KvStore } from '../../../host/apps/kv/store.js';
import { EtherloomError } from '../../../host/errors.js';
import { answersTo } from '../../apps/rig.js';
import type { FuzzTarget } from '../../support/fuzz.js';

/** One request. */
export function request(opcode: number, key = '', value = '', extras = 0): Uint8Array {
  const body = extras + key.length + value.length;
  const bytes = Buffer.alloc(HEADER_BYTES + body);
  writeHeader(bytes, 0, ASK, opcode, key.length, extras, 0, body);
  bytes.write(key + value, HEADER_BYTES + extras, 'latin1');
  return bytes;
}

const make = (): KvSession =>
  new KvSession(new KvStore(KvStore.create({ items: 64, bytes: 4096, valueBytes: 512 })));

/** What is wrong about answers, if anything; the first status that is an error. */
function look(answers: Buffer): number {
  let worst = 0;
  let at = 0;
  for (; at + HEADER_BYTES <= answers.length; at += HEADER_BYTES + bodyBytesOf(answers, at)) {
    if (answers[at] !== ANSWER) throw new Error(`no answer at ${at}`);
    worst ||= statusOf(answers, at);
  }
  if (at !== answers.length) throw new Error(`${answers.length - at} bytes behind the last answer`);
  return worst;
}

export const target: FuzzTarget = {
  name: 'kv',
  seeds: () => [
    Buffer.concat([request(Opcode.SET, 'key', 'value', 8), request(Opcode.GET, 'key'), request(Opcode.NOOP)]),
    Buffer.concat([
      request(Opcode.SETQ, 'k', 'v'.repeat(300), 8),
      request(Opcode.GETKQ, 'k'),
      request(Opcode.DELETE, 'k'),
    ]),
    Buffer.concat([
      request(Opcode.ADD, 'a', '1', 8),
      request(Opcode.REPLACE, 'a', '2', 8),
      request(Opcode.QUIT),
    ]),
    request(Opcode.VERSION),
  ],
  run: input => {
    const whole = answersTo(make(), input);
    const status = look(whole);
    for (const pieces of [[1], [5, 24, 2]])
      if (!answersTo(make(), input, pieces).equals(whole))
        throw new Error(`other answers in pieces of ${pieces}`);
    if (input.length >= HEADER_BYTES && input[0] !== ASK)
      throw new EtherloomError('ERR_KV_REQUEST', 'not understood');
    if (status !== Status.OK) throw new EtherloomError(`ERR_KV_STATUS_${status}`, 'an error');
  },
};
