/** By which carrier a call goes: the one in use when it begins, which is after its body was gathered, or room was found. */
import { Endpoint } from '../../../host/rpc/endpoint.js';
import type { Asked } from './oracle.js';

/** @param of whose call that is, by the tag of its endpoint @param begun told of each that has begun, by its carrier */
export function watchBegins(
  of: (tag: unknown) => Asked | undefined,
  begun: (asked: Asked) => void = () => {},
): { end(): void } {
  const { begin } = Endpoint.prototype;
  Endpoint.prototype.begin = function watched(peer, body, tag, deadline, own) {
    const number = begin.call(this, peer, body, tag, deadline, own);
    const asked = number === 0 ? undefined : of(tag);
    if (asked !== undefined) {
      asked.carrier = this.carrier;
      begun(asked);
    }
    return number;
  };
  return {
    end() {
      Endpoint.prototype.begin = begin;
    },
  };
}
