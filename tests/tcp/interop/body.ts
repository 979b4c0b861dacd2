/** What is sent: bytes that look random, the same in every run, in memory for us and in a file for the kernel's programs. */
import { createCipheriv, createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export class Body {
  readonly folder = mkdtempSync(join(tmpdir(), 'etherloom-interop-'));
  readonly #bytes: Uint8Array;
  readonly #shas = new Map<number, string>();
  readonly #files = new Map<number, string>();

  constructor(readonly most: number) {
    this.#bytes = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(
      Buffer.alloc(most),
    );
  }

  first(bytes: number): Uint8Array {
    return this.#bytes.subarray(0, bytes);
  }

  sha(bytes: number): string {
    let sha = this.#shas.get(bytes);
    if (!sha) this.#shas.set(bytes, (sha = sha256(this.first(bytes))));
    return sha;
  }

  /** A file with the first `bytes`. */
  file(bytes: number): string {
    let file = this.#files.get(bytes);
    if (!file) {
      file = join(this.folder, `${bytes}`);
      writeFileSync(file, this.first(bytes));
      this.#files.set(bytes, file);
    }
    return file;
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
