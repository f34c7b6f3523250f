// The event stream, one per tab: it tells which data has changed, keeps the newest events for the screens,
// and says how the connection is, so that stale data is never shown as fresh.
import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { createContext, createElement, useContext, useEffect, useRef, useState, type ReactNode } from "react";
import type { HubEvent } from "./client";

export type Link = "connecting" | "live" | "lost";

export interface Heard {
  kind: "observed" | "retracted";
  event: HubEvent;
}

export interface Live {
  link: Link;
  /** When the stream last said anything, heartbeats of the connection left out. */
  heardAt: number | null;
  /** Newest first. */
  recent: Heard[];
}

/** Events kept for the screens; older ones come from the API. */
const RECENT_MAX = 200;
/** Queries are asked again at most this often, however many events arrive. */
const REFRESH_MS = 400;
/** A connection that has not come back after this long is called lost. */
const LOST_AFTER_MS = 4_000;

const LiveContext = createContext<Live>({ link: "connecting", heardAt: null, recent: [] });
export const useLive = () => useContext(LiveContext);

export function LiveProvider({ children }: { children: ReactNode }) {
  const [live, setLive] = useState<Live>({ link: "connecting", heardAt: null, recent: [] });
  const client = useQueryClient();
  const refresh = useRef<ReturnType<typeof setTimeout> | null>(null);

  useEffect(() => {
    const source = new EventSource("/api/v1/events/stream");
    let lost: ReturnType<typeof setTimeout> | null = null;
    let waiting: Heard[] = [];
    const flush = () => {
      refresh.current = null;
      const batch = waiting.reverse();
      waiting = [];
      setLive((now) => ({ ...now, heardAt: Date.now(), recent: [...batch, ...now.recent].slice(0, RECENT_MAX) }));
      invalidate(client);
    };
    const later = () => {
      refresh.current ??= setTimeout(flush, REFRESH_MS);
    };
    const hear = (kind: Heard["kind"]) => (message: MessageEvent<string>) => {
      waiting.push({ kind, event: JSON.parse(message.data) as HubEvent });
      later();
    };
    source.addEventListener("observed", hear("observed"));
    source.addEventListener("retracted", hear("retracted"));
    source.addEventListener("finalized", later);
    source.onopen = () => {
      if (lost) clearTimeout(lost);
      lost = null;
      setLive((now) => ({ ...now, link: "live" }));
      // What was missed while away is not in the screens' queries yet.
      later();
    };
    source.onerror = () => {
      lost ??= setTimeout(() => setLive((now) => ({ ...now, link: "lost" })), LOST_AFTER_MS);
    };
    // The browser knows before the stream does.
    const offline = () => setLive((now) => ({ ...now, link: "lost" }));
    const online = () => source.readyState === EventSource.OPEN && setLive((now) => ({ ...now, link: "live" }));
    window.addEventListener("offline", offline);
    window.addEventListener("online", online);
    return () => {
      source.close();
      window.removeEventListener("offline", offline);
      window.removeEventListener("online", online);
      if (lost) clearTimeout(lost);
      if (refresh.current) clearTimeout(refresh.current);
      refresh.current = null;
    };
  }, [client]);

  return createElement(LiveContext, { value: live }, children);
}

/** Everything that a block can change; data at a fixed block stays. */
function invalidate(client: QueryClient): void {
  void client.invalidateQueries({ predicate: (query) => query.queryKey[0] === "live" });
}
