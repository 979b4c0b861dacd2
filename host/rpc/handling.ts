/** Requests to handlers, and what these return to who called. */
import { endSource, feed, gathered, outgoingOf, type Pieces, RpcBody, Streamed, wholeBody } from './body.js';
import { errorBody, RpcError } from './errors.js';
import type { KeptRequest, RpcEvent } from './event.js';
import { FrameKind } from './frame.js';
import type { Part } from './parts.js';
import { Request } from './request.js';
import type { RpcServer } from './server.js';

export class Handling {
  /** @param touch something was answered: it is to leave, and there may be room */
  constructor(readonly touch: () => void) {}

  /** More of a request came: its handler is called with the first of it, and reads on. */
  part(event: RpcEvent, part: Part): void {
    const server = event.service as RpcServer;
    if (server.options.stream !== true) return;
    let request = part.tag as Request | undefined;
    if (request === undefined) {
      request = new Request(event.from, new RpcBody(event.length), this.touch);
      request.hold(part.hold());
      part.tag = request;
      const reading = request;
      part.onDrop = () => reading.lose(new RpcError('ECONNRESET', 'the rest of the request did not come'));
      this.#handle(server, request, request.body);
    }
    request.body!.push(part.bytes.slice(request.body!.received, part.received));
  }

  /** A request is there, all of it: its handler is called, unless it reads it already. */
  serve(event: RpcEvent): void {
    const server = event.service as RpcServer;
    const begun = event.part?.tag as Request | undefined;
    if (begun !== undefined) {
      begun.body!.push(event.rest(begun.body!.received));
      const kept = event.keep(begun);
      if (!kept.over) return begun.keep(kept);
      event.part!.linger();
      begun.cancel();
      return;
    }
    const request = new Request(undefined, undefined, this.touch);
    let body: Buffer | RpcBody;
    if (server.options.stream === true) {
      body = new RpcBody(event.length);
      body.push(event.take());
    } else body = event.take();
    const kept = event.keep(request);
    // It was given up in the meantime.
    if (kept.over) return;
    request.keep(kept);
    this.#handle(server, request, body);
  }

  /** Nothing that a handler does, or gives, may throw out of here: the turn is that of every call and server. */
  #handle(server: RpcServer, request: Request, body: unknown): void {
    let answer: unknown;
    try {
      answer = server.handler(body, request);
      if (typeof (answer as Promise<unknown> | undefined)?.then === 'function') {
        // Promise.resolve calls `then` of what is no promise of ours in a turn of its own.
        Promise.resolve(answer).then(
          a => this.#answer(request, a),
          e => this.#refuse(request, e),
        );
        return;
      }
    } catch (error) {
      return this.#refuse(request, error);
    }
    this.#answer(request, answer);
  }

  #answer(request: Request, answer: unknown): void {
    try {
      const whole = wholeBody(answer);
      if (whole !== undefined) this.#reply(request, whole);
      else if (!request.answersWith(answer as Pieces | Streamed)) return;
      else if (answer instanceof Streamed && answer.length > 0) this.#replyStreamed(request, answer);
      else
        gathered(answer as Pieces | Streamed).then(
          bytes => this.#reply(request, bytes),
          e => this.#refuse(request, e),
        );
    } catch (error) {
      this.#refuse(request, error);
    }
  }

  #refuse(request: Request, error: unknown): void {
    request.answer(kept => {
      request.letGo();
      this.#refuseKept(kept, error);
    });
  }

  /** The caller is told why; one that cannot be told has its deadline, or hears that the server is gone. */
  #refuseKept(kept: KeptRequest, error: unknown): void {
    try {
      kept.carrier.reply(kept, FrameKind.ERROR, errorBody(error), true);
    } catch {
      return;
    }
    this.touch();
  }

  #reply(request: Request, body: Uint8Array): void {
    request.answer(kept => {
      request.letGo();
      try {
        kept.carrier.reply(kept, FrameKind.RESPONSE, body, true);
        this.touch();
      } catch (error) {
        // A carrier may have no room for what others have: that of Homa for marked messages.
        this.#refuseKept(kept, error);
      }
    });
  }

  #replyStreamed(request: Request, body: Streamed): void {
    request.answer(kept => {
      const { carrier, link } = kept;
      const out = outgoingOf(body)!;
      try {
        if (!carrier.reply(kept, FrameKind.RESPONSE, out, true)) {
          request.letGo();
          return endSource(body);
        }
        this.touch();
      } catch (error) {
        request.letGo();
        endSource(body);
        return this.#refuseKept(kept, error);
      }
      feed(body, out, () => {
        carrier.goOn(link);
        this.touch();
      })
        .catch(error => carrier.breakOff(kept, out, errorBody(error)))
        .finally(() => {
          request.letGo();
          this.touch();
        });
    });
  }
}
