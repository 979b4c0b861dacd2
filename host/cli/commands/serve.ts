/** etherloom serve: a folder over HTTP, by Node's own `http` on sockets of the engine. */
import { createServer } from 'node:http';
import { files } from '../../apps/files/files.js';
import { runServer, type ServeOptions } from '../load.js';
import { print, toJson } from '../output.js';

export interface ServeFolderOptions extends ServeOptions {
  quiet?: boolean;
}

export function serveFolder(folder: string, options: ServeFolderOptions): Promise<number> {
  const told = (method: string, path: string, status: number, bytes: number): void => {
    if (options.json) print(toJson({ event: 'answered', method, path, status, bytes }, 0));
    else if (!options.quiet) print(`${status} ${method} ${JSON.stringify(path).slice(1, -1)} ${bytes}`);
  };
  const web = createServer(files(folder, { answered: told }));
  // Who has said all that it asks for gets its answers.
  (web as { httpAllowHalfOpen?: boolean }).httpAllowHalfOpen = true;
  return runServer(options, 'http', async ({ own }) => {
    const server = await new Promise<ReturnType<typeof own.serve>>((resolve, reject) => {
      const made = own.serve(web, options.port, options.ip, () => resolve(made));
      made.once('error', reject);
    });
    return {
      port: server.address()!.port,
      close: () =>
        new Promise<void>(done => {
          server.close(() => done());
          web.closeAllConnections();
        }),
    };
  });
}
