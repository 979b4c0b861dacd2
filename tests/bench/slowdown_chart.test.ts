/** The slowdown chart: every curve and every bin is drawn, and nothing that is not there. */
import { slowdownChart } from '../../bench/harness/slowdown_chart.js';
import { binsOf, Slowdowns } from '../../host/apps/workloads/slowdown.js';
import { workload } from '../../host/apps/workloads/workload.js';
import { assert, suite } from '../support/suite.js';

const test = suite('bench: slowdown chart');

test('an SVG with a title, a line for each percentile of each transport, and the bins by length', async () => {
  const w = workload('w4', true);
  const curves = ['homa', 'tcp'].map((name, k) => {
    const s = new Slowdowns(binsOf(w, 5));
    // The last bin of the second has no messages.
    for (const [i, to] of s.bins.map(b => b.to).entries())
      for (let n = 1; n <= 100 && (k === 0 || i < 4); n++) s.add(to, (k + 1) * n, 1);
    return { name, results: s.results() };
  });
  assert.equal(
    curves.map(c => c.results.length),
    [5, 4],
  );
  const svg = await slowdownChart('W4, 80 % load', curves);
  assert.match(svg, /^<svg /);
  for (const text of ['W4, 80 % load', 'homa p50', 'homa p99.9', 'tcp p99', 'slowdown', '1M', '561'])
    assert.ok(svg.includes(`>${text}<`), text);
  assert.is((svg.match(/stroke="#2f6f9f"/g) ?? []).length > 0, true);
  assert.not.match(svg, /NaN|undefined/);
});
