/**
 * Makes `npx etherloom` work in a checkout: npm links the commands of dependencies, not those of the package itself.
 * Run by `prepare`. A system that has no symbolic links goes without: `node dist/cli/main.js` is the same.
 */
import { chmodSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../../node_modules/.bin/', import.meta.url));
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
try {
  chmodSync(main, 0o755);
  mkdirSync(bin, { recursive: true });
  rmSync(`${bin}etherloom`, { force: true });
  symlinkSync('../../dist/cli/main.js', `${bin}etherloom`);
} catch (error) {
  console.error(`npx etherloom is not set up: ${error.message}`);
}
