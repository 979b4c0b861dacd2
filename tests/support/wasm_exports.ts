/** Reads the exported functions of a Wasm module with their types: `pwd→i` as letters i32 `i`, i64 `I`. */
export function exportedSignatures(bytes: Uint8Array): Map<string, string> {
  let at = 8;
  const leb = (): number => {
    let n = 0;
    for (let shift = 0; ; shift += 7) {
      const b = bytes[at++];
      n += (b & 0x7f) * 2 ** shift;
      if (b < 0x80) return n;
    }
  };
  const text = (): string => {
    const n = leb();
    at += n;
    return new TextDecoder().decode(bytes.subarray(at - n, at));
  };
  const letter = (): string => ({ 127: 'i', 126: 'I', 125: 'f', 124: 'F', 123: 'v' })[bytes[at++]] ?? '?';
  const letters = (): string => Array.from({ length: leb() }, letter).join('');
  const types: string[] = [];
  const functions: number[] = [];
  const found = new Map<string, string>();
  while (at < bytes.length) {
    const section = bytes[at++];
    const size = leb();
    const end = at + size;
    if (section === 1) {
      for (let n = leb(); n; n--) {
        at++; // 0x60
        const params = letters();
        types.push(`${params}→${letters()}`);
      }
    } else if (section === 2) {
      for (let n = leb(); n; n--) {
        text();
        text();
        const kind = bytes[at++];
        if (kind === 0) functions.push(leb());
        else if (kind === 3) at += 2;
        else {
          if (kind === 1) at++;
          const flags = leb();
          leb();
          if (flags & 1) leb();
        }
      }
    } else if (section === 3) {
      for (let n = leb(); n; n--) functions.push(leb());
    } else if (section === 7) {
      for (let n = leb(); n; n--) {
        const name = text();
        const kind = bytes[at++];
        const index = leb();
        if (kind === 0) found.set(name, types[functions[index]]);
      }
    }
    at = end;
  }
  return found;
}
