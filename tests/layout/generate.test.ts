import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { generate, place } from '../../host/layout/generate.js';
import { structs } from '../../host/layout/schema.js';
import { assert, suite } from '../support/suite.js';

const test = suite('layout: generator');

test('the committed files are what the schema generates', () => {
  for (const [path, text] of Object.entries(generate())) {
    const committed = readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');
    assert.ok(committed === text, `${path} is stale: npm run build:layout`);
  }
});

test('__sk_buff and xdp_md keep the offsets of the kernel', () => {
  const offsets = (name: string) =>
    Object.fromEntries(place(structs.find(s => s.name === name)!).fields.map(f => [f.name, f.offset]));
  const skb = offsets('SkBuff');
  assert.is(skb.cb, 48);
  assert.is(skb.data, 76);
  assert.is(skb.dataEnd, 80);
  assert.is(skb.tstamp, 152);
  assert.is(skb.hwtstamp, 184);
  assert.is(skb.hardStart, 192);
  const xdp = offsets('XdpContext');
  assert.is(xdp.dataMeta, 8);
  assert.is(xdp.egressIfindex, 20);
});

test('fields never overlap and respect their own alignment', () => {
  for (const s of structs) {
    let end = 0;
    for (const f of place(s).fields) {
      assert.ok(f.offset >= end, `${s.name}.${f.name}`);
      assert.is(f.offset % (f.bytes / f.count), 0, `${s.name}.${f.name}`);
      end = f.offset + f.bytes;
    }
  }
});
