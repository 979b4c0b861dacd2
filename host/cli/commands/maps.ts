/** etherloom maps: the maps of an object, with key and value types where BTF says them. */
import { formatMaps, summarizeMaps } from '../../bpf/btf/print.js';
import { openObject } from '../../bpf/open.js';
import { EXIT, print, toJson } from '../output.js';

export function maps(path: string, options: { json?: boolean }): number {
  const object = openObject(path);
  print(options.json ? toJson({ file: path, maps: summarizeMaps(object) }) : formatMaps(object) || 'no maps');
  return EXIT.DONE;
}
