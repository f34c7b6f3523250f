// The daemon's REST as typed functions. Every failure is a `Failure` that says whether waiting helps.
import type { components } from "./schema";

export type Schemas = components["schemas"];
export type Token = Schemas["Token"];
export type Holder = Schemas["Holder"];
export type Holders = Schemas["Holders"];
export type HubEvent = Schemas["Event"];
export type Chain = Schemas["Chain"];
export type Status = Schemas["Status"];
export type Transaction = Schemas["Transaction"];
export interface List<T> {
  items: T[];
  next_cursor: string | null;
}

/** Longest wait for an answer to begin; the daemon itself gives up after ten seconds. */
const TIMEOUT_MS = 15_000;
/** Items of a page: the daemon gives up to a thousand, but a screen is faster with less. */
const PAGE = 200;
const EVENT_PAGE = 100;

/** An answer that is not the wanted one. `code` is the stable one of the problem, or `network`. */
export class Failure extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly status: number,
    readonly requestId: string | null,
  ) {
    super(message);
  }

  /** Waiting and asking again can help. */
  get passes(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export type Query = Record<string, string | number | null | undefined>;

/** Path and query, without the parameters that are not set. */
export function address(path: string, query: Query = {}): string {
  const set = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  if (set.length === 0) return path;
  return `${path}?${new URLSearchParams(set.map(([key, value]) => [key, String(value)]))}`;
}

export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(address(path, query), {
      headers: { accept: "application/json", "accept-language": document.documentElement.lang },
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure("network", error instanceof Error ? error.message : String(error), 0, null);
  }
  if (!response.ok) throw await failure(response);
  return (await response.json()) as T;
}

async function failure(response: Response): Promise<Failure> {
  const id = response.headers.get("x-request-id");
  try {
    const problem = (await response.json()) as Schemas["Problem"];
    return new Failure(problem.code, `${problem.title}: ${problem.detail}`, response.status, id);
  } catch {
    return new Failure("unreadable", `HTTP ${response.status}`, response.status, id);
  }
}

export const api = {
  status: (signal?: AbortSignal) => get<Status>("/api/v1/status", {}, signal),
  tokens: (cursor?: string, signal?: AbortSignal) => get<List<Token>>("/api/v1/tokens", { limit: PAGE, cursor }, signal),
  token: (chain: number, token: string, signal?: AbortSignal) => get<Token>(`/api/v1/tokens/${chain}/${token}`, {}, signal),
  holders: (chain: number, token: string, query: { at_block?: number | undefined; cursor?: string | undefined }, signal?: AbortSignal) =>
    get<Holders>(`/api/v1/tokens/${chain}/${token}/holders`, { limit: PAGE, ...query }, signal),
  holdings: (holder: string, cursor?: string, signal?: AbortSignal) =>
    get<List<Holder>>(`/api/v1/holders/${holder}`, { limit: PAGE, cursor }, signal),
  events: (query: Query, signal?: AbortSignal) => get<List<HubEvent>>("/api/v1/events", { limit: EVENT_PAGE, ...query }, signal),
  transaction: (hash: string, signal?: AbortSignal) => get<Transaction>(`/api/v1/transactions/${hash}`, {}, signal),
};
