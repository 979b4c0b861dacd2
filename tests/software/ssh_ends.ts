/** A server of ssh2 that runs three commands and forwards to an echo, and what its clients do. */
import { gather, heard } from '../sockets/pairs.js';
import { type AuthContext, type Channel, type SshClient, type SshServer, ssh2 } from './ssh2.js';

/** What is forwarded to a place that is not there. */
export const NOWHERE = 'nowhere.test';

let key: string | undefined;

function exec(channel: Channel, command: string, leave: () => void): void {
  if (command === 'cat') {
    channel.pipe(channel, { end: false });
    channel.on('end', () => {
      channel.exit(0);
      channel.end();
    });
  } else if (command === 'leave') leave();
  else {
    channel.stderr.write(`${command}: no such thing`);
    channel.exit(127);
    channel.end();
  }
}

/** @param admits who is let in */
export function makeServer(admits: (ctx: AuthContext) => boolean): SshServer {
  key ??= ssh2.utils.generateKeyPairSync('ed25519').private;
  return new ssh2.Server({ hostKeys: [key] }, connection => {
    connection.on('error', () => {});
    connection.on('authentication', (ctx: AuthContext) =>
      admits(ctx) ? ctx.accept() : ctx.reject(['password']),
    );
    connection.on('session', (accept: () => NodeJS.EventEmitter) => {
      accept().on('exec', (take: () => Channel, _: unknown, { command }: { command: string }) =>
        exec(take(), command, () => connection.end()),
      );
    });
    connection.on('tcpip', (accept: () => Channel, reject: () => void, { destIP }: { destIP: string }) => {
      if (destIP === NOWHERE) return reject();
      const channel = accept();
      channel.pipe(channel);
    });
  });
}

/** Runs a command on an input. Its events may come with the answer that begins it: all are listened to at once. */
export const run = (c: SshClient, command: string, input: Uint8Array = new Uint8Array()) =>
  new Promise<{ out: Buffer; err: string; code: number }>((done, fail) =>
    c.exec(command, (e, channel) => {
      if (e) return fail(e);
      const all = [gather(channel), gather(channel.stderr), heard<[number]>(channel, 'exit')] as const;
      Promise.all(all).then(([out, err, [code]]) => done({ out, err: err.toString(), code }), fail);
      channel.end(input);
    }),
  );
