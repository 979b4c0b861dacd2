/** What `npm run test:interop` runs: programs, roles and NICs on a clean wire; then what a wire can do to packets. */
import type { Order, Transfer } from './session.js';
import type { WireSettings } from './wire.js';

export interface Row {
  wire: WireSettings;
  transfer: Transfer;
}

const MB = 1_000_000;
const NICS = ['af_xdp', 'tun'] as const;
const ROLES = ['client', 'server'] as const;

/** A wire's settings in a few words. */
export function wireName(w: WireSettings): string {
  const words = [w.nic === 'af_xdp' ? 'AF_XDP' : 'TUN'];
  if (w.mtu) words.push(`MTU ${w.mtu}`);
  if (w.pathMtu) words.push(`path ${w.pathMtu}`);
  if (w.loss) words.push(`loss ${w.loss * 100} %`);
  if (w.ce) words.push(`CE ${w.ce * 100} %`);
  if (w.rate) words.push(`${w.rate / 1e6} Mbit/s`);
  if (w.congestion) words.push(w.congestion);
  return words.join(', ');
}

export function transferName(t: Transfer): string {
  const words = [`${t.peer} ${t.role}`];
  if (t.family === 6) words.push('IPv6');
  if (t.order)
    words.push(`${t.order === 'both' ? 'both end' : t.order === 'ours' ? 'we end' : 'kernel ends'} first`);
  return words.join(', ');
}

/** @param scale of the sizes: 1 is 100 MB each way where the wire is fast */
export function matrix(scale = 1): Row[] {
  const rows: Row[] = [];
  const bytes = (mb: number): number => Math.max(100_000, Math.round(mb * scale * MB));
  const add = (wire: WireSettings, transfer: Omit<Transfer, 'forth' | 'back'>, mb = 100): void => {
    const n = bytes(mb);
    rows.push({ wire, transfer: { forth: n, back: n, limitMs: 600_000, ...transfer } });
  };
  for (const nic of NICS) {
    for (const role of ROLES) {
      for (const peer of ['socat', 'nc', 'node'] as const) add({ nic }, { peer, role });
      add({ nic }, { peer: 'node', role, family: 6 });
      for (const back of [0, 1])
        rows.push({
          wire: { nic },
          transfer: { peer: 'iperf3', role, forth: 1 - back, back, seconds: 3 * scale + 1 },
        });
      for (const order of ['both', 'kernel', 'ours'] as Order[])
        add({ nic }, { peer: 'node', role, order }, 5);
    }
    rows.push({ wire: { nic }, transfer: { peer: 'curl', role: 'client', forth: 0, back: bytes(100) } });
    rows.push({ wire: { nic }, transfer: { peer: 'curl', role: 'client', forth: bytes(100), back: 0 } });
    for (const mtu of [576, 1500]) {
      for (const [loss, mb] of [
        [0.001, 100],
        [0.01, 50],
        [0.05, 10],
      ])
        for (const role of ROLES) add({ nic, mtu, loss }, { peer: 'socat', role }, mtu === 576 ? mb / 4 : mb);
      for (const ce of [0.05, 0.2]) for (const role of ROLES) add({ nic, mtu, ce }, { peer: 'nc', role }, 25);
      for (const [rate, mb] of [
        [10e6, 5],
        [100e6, 50],
      ])
        for (const role of ROLES) add({ nic, mtu, rate }, { peer: 'socat', role }, mb);
      add({ nic, mtu }, { peer: 'socat', role: 'client' });
    }
    for (const family of [4, 6] as const)
      add({ nic, pathMtu: 1300 }, { peer: 'node', role: 'server', family }, 10);
    add({ nic, loss: 0.01, ce: 0.05, rate: 100e6 }, { peer: 'node', role: 'client' }, 20);
    for (const congestion of ['bbr'] as const)
      add({ nic, loss: 0.01, congestion }, { peer: 'socat', role: 'server' }, 20);
  }
  return rows;
}
