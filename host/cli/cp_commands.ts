/** Commands of cp by standard input, a line each: cp_node's. */
import { EtherloomError } from '../errors.js';
import type { CpNode } from './cp_node.js';
import { clientWish } from './cp_options.js';
import { toJson } from './output.js';

const COMMANDS = 'client, server, stop, dump_times FILE, log TEXT, debug, tt or exit';

/** Returns what is to be said of it. @throws EtherloomError as CpNode.call, ERR_USAGE_*, ERR_CP_COMMAND, ERR_FILE_WRITE */
function obey(node: CpNode, word: string, words: readonly string[], line: string): string {
  const [argument] = words;
  switch (word) {
    case 'client':
      node.call(clientWish(words, node.options));
      if (node.hosts.far) node.serve();
      return 'a client calls';
    case 'server':
      node.serve();
      return 'a server answers';
    case 'stop':
      node.stop();
      return 'no more requests; those under way are answered';
    case 'dump_times':
      if (argument === undefined)
        throw new EtherloomError('ERR_CP_COMMAND', 'dump_times: which file?', {
          expected: 'dump_times FILE',
        });
      node.dump(argument);
      return `times in ${argument}`;
    case 'log':
      return line.slice(4);
    case 'debug': {
      const errors = toJson(Object.fromEntries(node.lines.errors), 0);
      return `outstanding client RPCs: ${node.outstanding}; errors up to the last interval: ${errors}`;
    }
    case 'tt':
      return 'tt: time traces are of the kernel module, there are none here';
    case 'exit':
      node.end();
      return '';
    default:
      throw new EtherloomError('ERR_CP_COMMAND', `no command ${word}`, { expected: COMMANDS });
  }
}

/** Obeys a line and says what came of it; what is wrong is said and nothing else done. */
export function obeyLine(node: CpNode, text: string): void {
  const line = text.trim();
  const [word, ...words] = line.split(/\s+/);
  if (word === '') return;
  try {
    node.lines.obeyed(word, obey(node, word, words, line));
  } catch (error) {
    if (!(error instanceof EtherloomError)) throw error;
    node.lines.refused(word, error);
  }
}
