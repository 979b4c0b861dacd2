// npm scripts side by side: node tests/together.mjs SCRIPT… What each says is printed when it is done; ends with the first failure's code.
import { spawn } from 'node:child_process';

const run = script =>
  new Promise(done => {
    const child = spawn('npm', ['run', '--silent', script], { stdio: ['ignore', 'pipe', 'pipe'] });
    const said = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', bytes => said.push(bytes));
    child.on('error', error => said.push(Buffer.from(`${error.message}\n`)));
    child.on('close', (code, signal) => {
      process.stdout.write(`${script}\n${Buffer.concat(said)}`);
      done(code ?? (signal ? 1 : 0));
    });
  });

const codes = await Promise.all(process.argv.slice(2).map(run));
process.exitCode = codes.find(code => code !== 0) ?? 0;
