// Reads of contracts through the daemon's own JSON-RPC, encoded by hand: four shapes of call are not worth
// the weight of a library on the first load.

/** An error of the node or of the contract, as it said it. */
export class RpcFailure extends Error {
  constructor(
    readonly code: number,
    message: string,
    readonly data: string | null,
  ) {
    super(message);
  }
}

/** EIP-1474 has no code for a revert; nodes use 3, older ones -32000 with this word. */
const REVERTED = 3;

/** True when the contract refused; anything else is the fault of a node or of the way to it. */
export function isRefusal(error: unknown): error is RpcFailure {
  return error instanceof RpcFailure && (error.code === REVERTED || /revert/i.test(error.message));
}

interface Answer {
  result?: unknown;
  error?: { code: number; message: string; data?: unknown };
}

export async function rpc<T>(chain: number, method: string, params: unknown[], signal?: AbortSignal): Promise<T> {
  const response = await fetch(`/rpc/${chain}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    ...(signal ? { signal } : {}),
  });
  const answer = (await response.json()) as Answer;
  if (answer.error) {
    const data = typeof answer.error.data === "string" ? answer.error.data : null;
    throw new RpcFailure(answer.error.code, answer.error.message, data);
  }
  return answer.result as T;
}

const word = (hex: string) => hex.padStart(64, "0");
const addressWord = (address: string) => word(address.slice(2).toLowerCase());
const amountWord = (amount: bigint) => word(amount.toString(16));

/** `transfer(address,uint256)` of ERC-20. */
export const transferData = (to: string, amount: bigint) => `0xa9059cbb${addressWord(to)}${amountWord(amount)}`;

function call(chain: number, to: string, data: string, signal?: AbortSignal, from?: string): Promise<string> {
  return rpc<string>(chain, "eth_call", [from ? { from, to, data } : { to, data }, "latest"], signal);
}

const truth = (hex: string) => /[1-9a-f]/.test(hex.slice(2));

/** What a transfer would run into. `unknown`: the contract does not say. */
export interface Eligibility {
  sender: "verified" | "not verified" | "unknown";
  receiver: "verified" | "not verified" | "unknown";
  compliance: "allowed" | "refused" | "unknown";
}

async function asked<T>(yes: T, no: T, unknown: T, answer: Promise<string>): Promise<T> {
  try {
    const hex = await answer;
    return hex === "0x" ? unknown : truth(hex) ? yes : no;
  } catch (error) {
    if (isRefusal(error)) return unknown;
    throw error;
  }
}

/** Asks registry and compliance contract of an ERC-3643 token, in the latest block. */
export async function eligibility(
  chain: number,
  token: { identity_registry?: string | null; compliance?: string | null },
  from: string | null,
  to: string,
  amount: bigint,
  signal?: AbortSignal,
): Promise<Eligibility> {
  const registry = token.identity_registry;
  const compliance = token.compliance;
  const verified = (who: string) =>
    registry
      ? asked("verified" as const, "not verified" as const, "unknown" as const, call(chain, registry, `0xb9209e33${addressWord(who)}`, signal))
      : Promise.resolve("unknown" as const);
  const allowed =
    compliance && from
      ? asked(
          "allowed" as const,
          "refused" as const,
          "unknown" as const,
          call(chain, compliance, `0xe46638e6${addressWord(from)}${addressWord(to)}${amountWord(amount)}`, signal),
        )
      : Promise.resolve("unknown" as const);
  const [sender, receiver, rules] = await Promise.all([
    from ? verified(from) : Promise.resolve("unknown" as const),
    verified(to),
    allowed,
  ]);
  return { sender, receiver, compliance: rules };
}

/** Runs a call without sending it; the reason if it would fail. */
export async function simulate(chain: number, from: string, to: string, data: string): Promise<{ ok: true } | { ok: false; reason: string }> {
  try {
    await call(chain, to, data, undefined, from);
    return { ok: true };
  } catch (error) {
    if (isRefusal(error)) return { ok: false, reason: error.message };
    throw error;
  }
}

/** The implementation behind an ERC-1967 proxy, or `null`. */
export async function implementation(chain: number, contract: string, signal?: AbortSignal): Promise<string | null> {
  const slot = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc";
  const value = await rpc<string>(chain, "eth_getStorageAt", [contract, slot, "latest"], signal);
  return /^0x0*$/.test(value) ? null : `0x${value.slice(-40)}`;
}

/** `owner()` of a contract, or `null` if it has none. */
export async function owner(chain: number, contract: string, signal?: AbortSignal): Promise<string | null> {
  try {
    const value = await call(chain, contract, "0x8da5cb5b", signal);
    return value.length === 66 && truth(value) ? `0x${value.slice(-40)}` : null;
  } catch (error) {
    if (isRefusal(error)) return null;
    throw error;
  }
}
