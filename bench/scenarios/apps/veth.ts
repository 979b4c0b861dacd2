/** A wire of the kernel between two namespaces, as it comes: offloads on, MTU 1500. */
import { spawnSync } from 'node:child_process';
import { Namespace } from '../../../tests/support/netns.js';

export class Veth {
  static readonly SERVER = '10.89.0.1';
  static readonly CLIENT = '10.89.0.2';
  readonly server = new Namespace('apps');
  readonly client = new Namespace('apps');

  /** @param sums the client computes checksums: to AF_XDP a veth gives packets as they are */
  constructor(sums = false) {
    this.client.ip('link', 'add', 'a0', 'type', 'veth', 'peer', 'name', 'b0', 'netns', this.server.name);
    this.client.configure('a0', `${Veth.CLIENT}/24`);
    this.server.configure('b0', `${Veth.SERVER}/24`);
    if (!sums) return;
    const command = ['netns', 'exec', this.client.name, 'ethtool', '-K', 'a0', 'tx', 'off'];
    const ran = spawnSync('ip', command, { encoding: 'utf8' });
    if (ran.status !== 0) throw new Error(`ethtool -K a0: ${ran.stderr || ran.error?.message}`);
  }

  close(): void {
    this.client.close();
    this.server.close();
  }
}
