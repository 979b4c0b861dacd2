import { jsonMistake, jsonTwice } from '../../host/json_syntax.js';
import { random } from '../support/random.js';
import { assert, suite } from '../support/suite.js';

const test = suite('elf: JSON mistakes');
const DOCUMENT =
  '{"type": "xdp",\n "insns": "b7\\u00e9\\n", "maps": {"3": [1, -2.5e+3, true, null, {}, []]}}';

/** What JSON.parse said, undefined when it took the text. */
function refusal(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

test('the mistake is the first character that fits no JSON, where V8 says nothing, too', () => {
  for (const [text, at] of [
    ['{"type": nope}', 10],
    ['{"type": xdp}', 9],
    ['\ufeff{}', 0],
    ['{"a":1,}', 7],
    ['[1,]', 3],
    ['{"a" 1}', 5],
    ['01', 1],
    ['1.', 2],
    ['"\\u00g0"', 5],
    ['"a\nb"', 2],
    ['{} x', 3],
    ['', 0],
    ['[[1]', 4],
    ['"open', 5],
  ] as const)
    assert.is(jsonMistake(text), at, text);
});

test('however deep it nests', () => {
  assert.is(jsonMistake('['.repeat(1e6)), 1e6);
  assert.is(jsonMistake(`${'['.repeat(1e6)}${']'.repeat(1e6)}`), undefined);
});

test('a member that stands twice in its object is found, however its name is spelt', () => {
  for (const [text, name, at] of [
    ['{"a":1,"a":2}', 'a', 7],
    ['{"a":1, "\\u0061" :2}', 'a', 8],
    ['[{}, {"x":{"y":[{"k":1,"k":1}]}}]', 'k', 23],
    ['{"a":{"b":1},"c":[],"a":0}', 'a', 20],
    ['{"__proto__":1,"__proto__":2}', '__proto__', 15],
    ['{"":1,"":1,"b":1,"b":1}', '', 6],
  ] as const)
    assert.equal(jsonTwice(text), { name, at }, text);
  for (const text of [
    '{"a":{"a":{"a":["a","a"]}},"b":{"a":1}}',
    '[{"a":1},{"a":1}]',
    '{"A":1,"a":1}',
    '"a"',
    '{}',
  ])
    assert.is(jsonTwice(text), undefined, text);
});

test('20,000 damaged documents: a mistake is found when JSON.parse refuses, and where it says so', () => {
  const next = random(7);
  const alphabet = [...'{}[]",:\\0123456789.eE+-tfnu \n\t\u0001\ufeff'];
  let refused = 0;
  let placed = 0;
  for (let i = 0; i < 20_000; i++) {
    const chars = [...DOCUMENT];
    for (let n = 1 + (next() % 3); n > 0; n--) {
      const at = next() % chars.length;
      const put = next() % 3 === 0 ? [] : [alphabet[next() % alphabet.length]];
      chars.splice(at, next() % 2, ...put);
    }
    const text = chars.join('');
    const message = refusal(text);
    const at = jsonMistake(text);
    assert.is(at === undefined, message === undefined, text);
    if (message === undefined) continue;
    refused++;
    const said = /position (\d+)/.exec(message);
    if (!said) continue;
    placed++;
    assert.is(at, Number(said[1]), `${message}: ${text}`);
  }
  assert.ok(refused > 10_000 && placed > 3_000, `${refused} refused, ${placed} placed`);
});
