/** A wire of the kernel between two namespaces, as it comes: offloads on, MTU 1500. */
import { Namespace } from '../../../tests/support/netns.js';

export class Veth {
  static readonly SERVER = '10.89.0.1';
  static readonly CLIENT = '10.89.0.2';
  readonly server = new Namespace('apps');
  readonly client = new Namespace('apps');

  constructor() {
    this.client.ip('link', 'add', 'a0', 'type', 'veth', 'peer', 'name', 'b0', 'netns', this.server.name);
    this.client.configure('a0', `${Veth.CLIENT}/24`);
    this.server.configure('b0', `${Veth.SERVER}/24`);
  }

  close(): void {
    this.client.close();
    this.server.close();
  }
}
