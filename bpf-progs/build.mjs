/**
 * Compiles bpf-progs/FOLDER/NAME/NAME.bpf.c to bpf-progs/obj/NAME.bpf.o: `npm run build:bpf [NAME …]`.
 * Needs clang 19 or newer with the BPF target (Debian: clang-19, llvm-19). Users do not: objects are committed.
 * Reproducible: paths inside are relative, DWARF is stripped, BTF stays.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('.', import.meta.url));
const FLAGS = [
  ...'-std=gnu17 -Wall -Wextra -Werror -Wno-unused-parameter -O2 -g -target bpf -mcpu=v3 -Iinclude'.split(' '),
  '-fdebug-compilation-dir=.',
  `-ffile-prefix-map=${ROOT}=`,
];

/** First of the tools that runs, with its major version; undefined when none does. */
export function findTool(...names) {
  for (const name of names) {
    try {
      const version = /(?:version|LLVM) (\d+)/.exec(execFileSync(name, ['--version'], { encoding: 'utf8' }));
      if (version) return { name, major: Number(version[1]) };
    } catch {
      // not there
    }
  }
  return undefined;
}

export const findClang = () => findTool('clang-19', 'clang');
export const findStrip = () => findTool('llvm-strip-19', 'llvm-strip');

/** Folders of programs: for users to attach, transports, congestion control, and what NICs put at interfaces of the kernel. */
const FOLDERS = ['filters', 'transports', 'congestion', 'nic'];
/** What has no README yet is not finished. */
const namesIn = folder =>
  readdirSync(join(ROOT, folder), { withFileTypes: true })
    .filter(e => e.isDirectory() && existsSync(join(ROOT, folder, e.name, 'README.md')))
    .map(e => e.name);

/** Names of all programs. */
export const programs = () => FOLDERS.flatMap(namesIn).sort();

/** Where the source of a program is, relative to bpf-progs. */
export function folderOf(name) {
  const folder = FOLDERS.find(f => namesIn(f).includes(name));
  if (!folder) throw new Error(`no program ${name} in ${FOLDERS.join(', ')}`);
  return `${folder}/${name}`;
}

/** Compiles one program into `folder`; returns the object's path. Throws with clang's words when it cannot. */
export function compile(name, folder = join(ROOT, 'obj')) {
  const clang = findClang();
  const strip = findStrip();
  if (!clang || !strip) throw new Error('clang and llvm-strip are needed (Debian: apt install clang-19 llvm-19)');
  mkdirSync(folder, { recursive: true });
  const temporary = mkdtempSync(join(folder, '.build-'));
  const object = join(temporary, `${name}.bpf.o`);
  try {
    execFileSync(clang.name, [...FLAGS, '-c', `${folderOf(name)}/${name}.bpf.c`, '-o', object], {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    execFileSync(strip.name, ['-g', object]);
    renameSync(object, join(folder, `${name}.bpf.o`));
  } catch (error) {
    throw new Error(`${name}: ${error.stderr?.toString() ?? error.message}`, { cause: error });
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return join(folder, `${name}.bpf.o`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.length > 2 ? process.argv.slice(2) : programs();
  try {
    for (const name of names) {
      compile(name);
      console.log(`obj/${name}.bpf.o`);
    }
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
