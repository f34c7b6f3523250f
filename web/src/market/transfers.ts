// Transfers under way, kept in this browser, so that closing the page loses nothing but the view of it.

export interface Sent {
  chain: number;
  token: string;
  symbol: string | null;
  decimals: number;
  from: string;
  to: string;
  /** In the smallest unit, decimal. */
  amount: string;
  hash: string;
  /** Milliseconds. */
  at: number;
}

const KEY = "rwahub.transfers";
/** The newest ones are kept; they also serve to recognise addresses dealt with before. */
const KEPT_MAX = 50;

export function sentBefore(): Sent[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? (kept as Sent[]) : [];
  } catch {
    return [];
  }
}

export function remember(sent: Sent): void {
  localStorage.setItem(KEY, JSON.stringify([sent, ...sentBefore()].slice(0, KEPT_MAX)));
}

export interface Receipt {
  blockNumber: string;
  status: string;
}

/** Where a transfer stands. */
export type Stage =
  | { at: "pending" }
  | { at: "reverted"; block: number }
  | { at: "mined"; block: number }
  | { at: "indexed"; block: number }
  | { at: "final"; block: number };

/** From what the node and the index say. A receipt that vanished (reorganisation) leads back to pending. */
export function stage(receipt: Receipt | null, indexed: number | null, finalized: number | null): Stage {
  if (receipt === null) return { at: "pending" };
  const block = Number(BigInt(receipt.blockNumber));
  if (receipt.status === "0x0") return { at: "reverted", block };
  if (finalized !== null && finalized >= block) return { at: "final", block };
  if (indexed !== null && indexed >= block) return { at: "indexed", block };
  return { at: "mined", block };
}
