/** `--nic SPEC`: what is understood, and what is refused with which words. */
import { parseNicSpec } from '../../host/cli/nic_spec.js';
import { EtherloomError } from '../../host/errors.js';
import { assert, suite } from '../support/suite.js';

const test = suite('cli: NIC specs');

const read = (text: string): object => {
  const { text: kept, ...rest } = parseNicSpec(text);
  assert.is(kept, text);
  return rest;
};

test('every kind has its place and its options', () => {
  assert.equal(read('af_xdp:eth0'), { kind: 'af_xdp', interface: 'eth0' });
  assert.equal(read('af_xdp:enp0s31f6.100,queues=2,attach=generic,own=yes'), {
    kind: 'af_xdp',
    interface: 'enp0s31f6.100',
    queues: 2,
    attach: 'generic',
    own: true,
  });
  assert.equal(read('tap:tap0,queues=4,mtu=1400'), { kind: 'tap', interface: 'tap0', queues: 4, mtu: 1400 });
  assert.equal(read('tun:fd=3+4'), { kind: 'tun', fds: [3, 4] });
  assert.equal(read('model'), { kind: 'model' });
  assert.equal(read('model,pps=1000,size=1500,rate=2.5G,delay=1.5ms,loss=0.01,seed=7'), {
    kind: 'model',
    pps: 1000,
    size: 1500,
    rate: 2.5e9,
    delayNs: 1_500_000,
    loss: 0.01,
    seed: 7,
  });
  assert.equal(read('pcap:traces/a.pcapng,speed=0.5,rounds=3,out=b.pcap'), {
    kind: 'pcap',
    file: 'traces/a.pcapng',
    speed: 0.5,
    rounds: 3,
    out: 'b.pcap',
  });
});

test('a file may have commas and colons in its name', () => {
  assert.equal(read('pcap:C:/a,b:c.pcap,speed=1'), { kind: 'pcap', file: 'C:/a,b:c.pcap', speed: 1 });
});

for (const [spec, words] of [
  ['', /names no kind.*af_xdp:IFACE/],
  ['eth0', /no kind of NIC is "eth0"; expected af_xdp:eth0 for the interface/],
  ['br-1.100', /no kind of NIC is "br"; expected af_xdp:br-1.100 for the interface/],
  ['dpdk:eth0', /no kind of NIC is "dpdk"/],
  ['af_xdp', /names no interface.*af_xdp:NAME/],
  ['af_xdp:', /names no interface/],
  ['af_xdp:a-name-of-16-byte', /"a-name-of-16-byte" is no name of an interface/],
  ['af_xdp:..', /is no name of an interface/],
  ['af_xdp:fd=3', /"fd=3" is no name/],
  ['tap:a b', /is no name/],
  ['tap:x%d', /"x%d" is no name/],
  ['af_xdp:ääääääää', /is no name.*15 bytes/],
  ['tap:tap0,queues=0', /queues=0.*1 to 64/],
  ['tap:tap0,queue=1', /no option "queue".*queues, mtu/],
  ['tap:tap0,mtu=1500,mtu=1400', /mtu stands twice/],
  ['tap:fd=', /descriptors, each once/],
  ['tap:fd=3+3', /descriptors, each once/],
  ['tap:fd=3+x', /descriptors, each once/],
  ['tap:fd=3,queues=2', /queues beside fd/],
  ['model:x', /a model has no place/],
  ['model,loss=2', /loss=2.*0 to 1/],
  ['model,loss=-1', /loss=-1/],
  ['model,delay=5', /delay=5.*unit/],
  ['model,delay=99999999999999s', /delay=9+s.*up to 3600s/],
  ['model,rate=99999999999G', /rate=9+G.*up to 1000000G/],
  ['model,rate=fast', /rate=fast.*bits per second/],
  ['modelx', /no kind of NIC is "modelx"/],
  ['model pps=1', /" pps=1" after the kind/],
  ['pcap', /names no file/],
  ['pcap:', /names no file/],
  ['pcap:a,speed=-1', /speed=-1/],
  ['af_xdp:eth0,own=maybe', /own=maybe.*yes or no/],
  ['af_xdp:eth0,__proto__=1', /is no name of an interface/],
  ['constructor:x', /no kind of NIC is "constructor"/],
] as const)
  test(`"${spec}" is refused in words`, () => {
    assert.throws(
      () => parseNicSpec(spec),
      (e: unknown) => {
        assert.instance(e, EtherloomError);
        assert.is((e as EtherloomError).code, 'ERR_USAGE_NIC');
        assert.match((e as EtherloomError).message, words);
        return true;
      },
    );
  });

test('the option by which it was given is the one that is named', () => {
  assert.throws(() => parseNicSpec('nua', '--in'), /^--in nua: no kind of NIC is "nua"; expected af_xdp:nua/);
});
