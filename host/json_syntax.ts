/**
 * What JSON.parse does not say of a text: where it stops being JSON (said for some mistakes only, and in words that change
 * with V8), and which member of an object stands twice (the last is taken).
 */

const BLANK = ' \t\n\r';
const ESCAPED = '"\\/bfnrt';
const isDigit = (c: string | undefined): boolean => c !== undefined && c >= '0' && c <= '9';
const isHex = (c: string | undefined): boolean => c !== undefined && /^[0-9a-fA-F]$/.test(c);

/** Reads tokens. Each method is at its first character, and says whether all of it is there; if not, `at` is the mistake. */
class Scanner {
  at = 0;

  constructor(readonly text: string) {}

  blanks(): void {
    while (this.at < this.text.length && BLANK.includes(this.text[this.at])) this.at++;
  }

  take(char: string): boolean {
    if (this.text[this.at] !== char) return false;
    this.at++;
    return true;
  }

  /** A string, number, true, false or null. */
  scalar(): boolean {
    const c = this.text[this.at];
    if (c === '"') return this.string();
    if (c === '-' || isDigit(c)) return this.number();
    const word = ['true', 'false', 'null'].find(w => w[0] === c);
    return word !== undefined && [...word].every(letter => this.take(letter));
  }

  string(): boolean {
    if (!this.take('"')) return false;
    while (!this.take('"')) {
      const c = this.text[this.at];
      if (c === undefined || c < ' ') return false;
      this.at++;
      if (c === '\\' && !this.escape()) return false;
    }
    return true;
  }

  private escape(): boolean {
    if (!this.take('u')) {
      const known = this.at < this.text.length && ESCAPED.includes(this.text[this.at]);
      if (known) this.at++;
      return known;
    }
    for (let i = 0; i < 4; i++, this.at++) if (!isHex(this.text[this.at])) return false;
    return true;
  }

  private number(): boolean {
    this.take('-');
    if (!this.take('0') && !this.digits()) return false;
    if (this.take('.') && !this.digits()) return false;
    if (this.take('e') || this.take('E')) {
      if (!this.take('+')) this.take('-');
      return this.digits();
    }
    return true;
  }

  private digits(): boolean {
    const from = this.at;
    while (isDigit(this.text[this.at])) this.at++;
    return this.at > from;
  }
}

/** Told of what a text has, in its order. */
interface Visitor {
  /** An object begins. */
  object(): void;
  /** A member of the innermost object: its name, with the quotes, from `at` to `end`. */
  member(at: number, end: number): void;
  /** The innermost object is over. */
  over(): void;
}

/**
 * Index of the first character of `text` that no JSON value can go on with; `text.length` when only its end is missing,
 * undefined when nothing is wrong. However deep the text nests.
 */
export function jsonMistake(text: string, visitor?: Visitor): number | undefined {
  const s = new Scanner(text);
  /** What closes the objects and lists that are open. */
  const open: ('}' | ']')[] = [];
  const name = (): boolean => {
    const { at } = s;
    if (!s.string()) return false;
    visitor?.member(at, s.at);
    s.blanks();
    return s.take(':');
  };
  for (;;) {
    // A value begins.
    s.blanks();
    if (s.take('{')) {
      s.blanks();
      if (!s.take('}')) {
        open.push('}');
        visitor?.object();
        if (!name()) return s.at;
        continue;
      }
    } else if (s.take('[')) {
      s.blanks();
      if (!s.take(']')) {
        open.push(']');
        continue;
      }
    } else if (!s.scalar()) return s.at;
    // It ended, and with it whatever closes here.
    for (s.blanks(); open.length > 0 && s.take(open.at(-1)!); s.blanks())
      if (open.pop() === '}') visitor?.over();
    if (open.length === 0) return s.at < text.length ? s.at : undefined;
    if (!s.take(',')) return s.at;
    s.blanks();
    if (open.at(-1) === '}' && !name()) return s.at;
  }
}

/** The first member of a JSON text that its object had before, and where it stands; undefined when all are different. */
export function jsonTwice(text: string): { name: string; at: number } | undefined {
  const names: Set<string>[] = [];
  let found: { name: string; at: number } | undefined;
  jsonMistake(text, {
    object: () => names.push(new Set()),
    member(at, end) {
      // "\u0061" and "a" are one name.
      const name = JSON.parse(text.slice(at, end)) as string;
      const known = names[names.length - 1];
      if (known.has(name)) found ??= { name, at };
      known.add(name);
    },
    over: () => names.pop(),
  });
  return found;
}
