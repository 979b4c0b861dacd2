/**
 * Which packets a NIC takes from the kernel, on the command line: PROTOCOL[/PORT[-PORT]][@ADDRESS[/LENGTH]].
 *
 *   tcp/80   udp/5000-5010   any@10.0.0.0/24   tcp/443@2001:db8::1
 */
import { EtherloomError } from '../errors.js';
import { encodeRule, type RedirectRule } from '../nic/af_xdp/rules.js';

const FORM = 'PROTOCOL[/PORT[-PORT]][@ADDRESS[/LENGTH]]: tcp/80, udp/5000-5010, any@10.0.0.0/24';

/** @throws EtherloomError ERR_USAGE_TAKE */
export function parseTake(text: string): RedirectRule {
  const [, protocol, first, last, address] = /^(\w+)(?:\/(\d+)(?:-(\d+))?)?(?:@(.+))?$/.exec(text) ?? [];
  const wrong = (what: string, expected: string, cause?: unknown): never => {
    throw new EtherloomError('ERR_USAGE_TAKE', `--take ${text}${what}`, { expected, cause });
  };
  if (protocol === undefined) wrong('', FORM);
  const named = /^\d+$/.test(protocol) ? Number(protocol) : (protocol as RedirectRule['protocol']);
  const rule: RedirectRule = {
    ...(protocol === 'any' ? {} : { protocol: named }),
    ...(first === undefined ? {} : { port: last ? [Number(first), Number(last)] : Number(first) }),
    ...(address === undefined ? {} : { address }),
  };
  try {
    encodeRule(rule);
  } catch (cause) {
    const { message, expected } = cause as EtherloomError;
    wrong(
      `: ${message.replace(/^rule \{.*?\}: /, '').replace(/; expected .*$/, '')}`,
      expected ?? FORM,
      cause,
    );
  }
  return rule;
}
