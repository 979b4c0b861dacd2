/**
 * One line of assembly → tokens with their columns. Knows nothing of instructions.
 */
import { EtherloomError } from '../../errors.js';

export type TokenKind = 'name' | 'number' | 'operator' | 'string' | 'end';

export interface Token {
  kind: TokenKind;
  text: string;
  /** 1-based. */
  column: number;
}

/** Signed operators first: `s>>=` is one token when it stands alone, `s8` is a name. */
const OPERATOR =
  /^(s>>=|s\/=|s%=|s>=|s<=|s>|s<|<<=|>>=|\+=|-=|\*=|\/=|\|=|&=|%=|\^=|==|!=|>=|<=|[-=<>&()[\]*+,:#@%|^/!])/;
const NUMBER = /^(0x[0-9a-f]+|[0-9]+)(?![\w.])/i;
const NAME = /^[A-Za-z_.$][\w.$]*/;
const STRING = /^"([^"]*)"/;

/** Where a line stands, for errors. */
export interface LinePlace {
  file: string;
  /** 1-based. */
  line: number;
  /** Offset of the line's first character in the whole text. */
  offset: number;
}

export function syntaxError(
  place: LinePlace,
  column: number,
  message: string,
  expected: string,
  code = 'ERR_ASM_SYNTAX',
): EtherloomError {
  return new EtherloomError(code, `line ${place.line}, column ${column}: ${message}`, {
    file: place.file,
    offset: place.offset + column - 1,
    expected,
  });
}

/** Comments: `;` and `//` to the end of the line, `#` where a blank or nothing stands before it. */
export function stripComment(line: string): string {
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const c = line[i];
    if (c === '"') quoted = !quoted;
    if (quoted) continue;
    if (c === ';' || (c === '/' && line[i + 1] === '/')) return line.slice(0, i);
    if (c === '#' && (i === 0 || /\s/.test(line[i - 1]))) return line.slice(0, i);
  }
  return line;
}

/** @param from characters to skip (an address column) */
export function tokenize(line: string, place: LinePlace, from = 0): Token[] {
  const tokens: Token[] = [];
  for (let at = from; at < line.length; ) {
    if (/\s/.test(line[at])) {
      at++;
      continue;
    }
    const rest = line.slice(at);
    const alone = at === 0 || /\s/.test(line[at - 1]);
    const signed = alone && /^s[</>%]/.test(rest);
    const match: [TokenKind, RegExpExecArray | null][] = signed
      ? [['operator', OPERATOR.exec(rest)]]
      : [
          ['number', NUMBER.exec(rest)],
          ['name', NAME.exec(rest)],
          ['string', STRING.exec(rest)],
          ['operator', OPERATOR.exec(rest)],
        ];
    const found = match.find(([, m]) => m);
    if (!found?.[1])
      throw syntaxError(
        place,
        at + 1,
        `unexpected "${rest.slice(0, 12)}"`,
        'a register, number, name or operator',
      );
    const [kind, m] = found;
    tokens.push({ kind, text: kind === 'string' ? m[1] : m[0], column: at + 1 });
    at += m[0].length;
  }
  tokens.push({ kind: 'end', text: '', column: line.length + 1 });
  return tokens;
}
