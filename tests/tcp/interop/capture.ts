/** An independent look at a wire: dumpcap records the far end's interface, tshark says what is wrong with what it finds. */
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runAsync } from '../../support/netns.js';
import type { Wire } from './wire.js';

/** Frames that match each of them. The last two: there is something, and both ends are in it. */
const LOOKS = {
  malformed: '_ws.malformed || _ws.expert.severity == "Error"',
  checksums: 'tcp.checksum.status == "Bad" || ip.checksum.status == "Bad"',
  unseen: 'tcp.analysis.ack_lost_segment',
  beyondWindow: 'tcp.analysis.window_full && tcp.analysis.zero_window',
  ours: 'tcp.srcport == PORT',
  theirs: 'tcp.dstport == PORT',
} as const;

export type Findings = Record<keyof typeof LOOKS, number> & { packets: number };

export interface Recording {
  /** Ends the capture and has it looked at. @param port ours */
  findings(port: number): Promise<Findings>;
}

/** Records TCP at the far end; resolves when packets are taken. */
export async function record(wire: Wire): Promise<Recording> {
  const file = join(tmpdir(), `etherloom-interop-${process.pid}-${Date.now()}.pcapng`);
  const args = ['-q', '-i', wire.farLink, '-f', 'tcp', '-s', '0', '-B', '64', '-w', file];
  const child = wire.far.spawn('dumpcap', ...args);
  const ended = new Promise<void>(go => child.once('close', () => go()));
  await new Promise<void>((go, fail) => {
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', text => {
      said += text;
      if (said.includes('File:')) go();
    });
    child.once('close', () => fail(new Error(`dumpcap: ${said}`)));
  });
  return {
    async findings(port) {
      // What is in the kernel's buffer still is written before it ends.
      await new Promise(go => setTimeout(go, 300));
      await wire.far.run('sh', '-c', `pkill -INT -P ${child.pid} dumpcap; kill -INT ${child.pid}`);
      await ended;
      try {
        // Payload is bytes like any: what tshark would make of it by its port says nothing of TCP.
        const options = ['-o', 'tcp.check_checksum:TRUE', '-o', 'ip.check_checksum:TRUE'];
        const common = [
          '-r',
          file,
          ...options,
          '-d',
          `tcp.port==${port},data`,
          '-T',
          'fields',
          '-e',
          'frame.number',
        ];
        const count = async (filter: string): Promise<number> => {
          const { code, out, err } = await runAsync('tshark', [...common, '-Y', filter]);
          if (code !== 0) throw new Error(`tshark: ${err}`);
          return out.split('\n').filter(Boolean).length;
        };
        const out = { packets: await count('tcp') } as Findings;
        for (const [name, filter] of Object.entries(LOOKS))
          out[name as keyof typeof LOOKS] = await count(filter.replace('PORT', `${port}`));
        return out;
      } finally {
        rmSync(file, { force: true });
      }
    },
  };
}
