// What the screens ask, as query options. Keys that begin with "live" are asked again when a block arrives.
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, type Query } from "./client";

/** Without events (a quiet chain) data is still asked again this often, so that its age stays true. */
const IDLE_MS = 15_000;

export const statusQuery = queryOptions({
  queryKey: ["live", "status"],
  queryFn: ({ signal }) => api.status(signal),
  refetchInterval: 5_000,
});

/** Tokens asked for in one go; a hub with more says so on the screen. */
export const TOKEN_PAGES_MAX = 10;

export const tokensQuery = queryOptions({
  queryKey: ["live", "tokens"],
  queryFn: async ({ signal }) => {
    const items = [];
    let cursor: string | undefined;
    for (let page = 0; page < TOKEN_PAGES_MAX; page += 1) {
      const list = await api.tokens(cursor, signal);
      items.push(...list.items);
      if (!list.next_cursor) return { items, complete: true };
      cursor = list.next_cursor;
    }
    return { items, complete: false };
  },
  refetchInterval: IDLE_MS,
});

export const tokenQuery = (chain: number, address: string) =>
  queryOptions({
    queryKey: ["live", "token", chain, address],
    queryFn: ({ signal }) => api.token(chain, address, signal),
    refetchInterval: IDLE_MS,
  });

export const holdersQuery = (chain: number, address: string, at?: number) =>
  infiniteQueryOptions({
    // A past block never changes, so it is not asked again.
    queryKey: [at === undefined ? "live" : "fixed", "holders", chain, address, at ?? null],
    queryFn: ({ signal, pageParam }) => api.holders(chain, address, { at_block: at, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });

export const holdingsQuery = (holder: string) =>
  queryOptions({
    queryKey: ["live", "holdings", holder],
    queryFn: ({ signal }) => api.holdings(holder, undefined, signal),
    refetchInterval: IDLE_MS,
  });

export const eventsQuery = (query: Query) =>
  infiniteQueryOptions({
    queryKey: ["live", "events", query],
    queryFn: ({ signal, pageParam }) => api.events({ ...query, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });

export const transactionQuery = (hash: string) =>
  queryOptions({ queryKey: ["live", "transaction", hash], queryFn: ({ signal }) => api.transaction(hash, signal) });
