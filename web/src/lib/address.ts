// Addresses as people type and read them.

/** `0x` and 40 hexadecimal digits. */
export const isAddress = (text: string) => /^0x[0-9a-fA-F]{40}$/.test(text);
export const isHash = (text: string) => /^0x[0-9a-fA-F]{64}$/.test(text);

/** The same address, whatever the case. */
export const same = (one: string | null | undefined, other: string | null | undefined) =>
  one != null && other != null && one.toLowerCase() === other.toLowerCase();

/** First and last digits: to recognise, never to compare. */
export const short = (hex: string) => (hex.length <= 14 ? hex : `${hex.slice(0, 8)}…${hex.slice(-6)}`);

/** Digits at each end that people look at, and that an attacker forges. */
const LOOKED_AT = 4;

/**
 * The known address that `candidate` could be mistaken for: equal at both ends and not the same.
 * Attackers send dust from such addresses so that they get copied out of the history.
 */
export function lookAlike(candidate: string, known: Iterable<string>): string | null {
  const ends = (text: string) => text.slice(2, 2 + LOOKED_AT).toLowerCase() + text.slice(-LOOKED_AT).toLowerCase();
  let found: string | null = null;
  for (const address of known) {
    if (same(address, candidate)) return null;
    if (ends(address) === ends(candidate)) found = address;
  }
  return found;
}
