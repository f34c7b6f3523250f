// Events as both front ends show them.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { Link } from "wouter";
import type { HubEvent, Query, Token } from "../api/client";
import { useLive, type Heard } from "../api/live";
import { eventsQuery, tokensQuery } from "../api/queries";
import { useCount, useT } from "../i18n";
import { isAddress, same, short } from "../lib/address";
import { Age, Amount, Badge, Empty, Hex, Loaded } from "./parts";
import { Table, type Column } from "./table";

/** Characters of a text argument in a list; names on chains can be of any length. */
const TEXT_CHARS_MAX = 80;

/** Arguments that are amounts of the token that logged the event. */
const AMOUNTS = new Set(["value", "amount", "_amount", "newTotal", "amountFrozen"]);

/** The token of an event, from those already loaded. */
export function useTokens(): (chain: number, address: string) => Token | undefined {
  const { data } = useQuery(tokensQuery);
  return useMemo(() => {
    const known = new Map(data?.items.map((token) => [`${token.chain_id}:${token.address.toLowerCase()}`, token]));
    return (chain, address) => known.get(`${chain}:${address.toLowerCase()}`);
  }, [data]);
}

/** Name and value of each argument; amounts in the token's unit. Texts of contracts are text, never markup. */
export function Arguments({ event, token }: { event: HubEvent; token: Token | undefined }) {
  const t = useT();
  if (event.event === null) return <span className="quiet">{t("events.unread")}</span>;
  return (
    <>
      {Object.entries(event.args).map(([name, value], index) => (
        <span key={name}>
          {index > 0 ? ", " : ""}
          <span className="quiet">{name.replace(/^_/, "")}</span>{" "}
          {token && token.standard !== "erc721" && AMOUNTS.has(name) && /^\d+$/.test(value) ? (
            <Amount value={value} decimals={token.decimals} symbol={token.symbol} />
          ) : isAddress(value) ? (
            <span className="mono" title={value}>
              {short(value)}
            </span>
          ) : (
            <span className={value.startsWith("0x") ? "mono" : undefined} title={value}>
              {value.startsWith("0x") ? short(value) : value.length > TEXT_CHARS_MAX ? `${value.slice(0, TEXT_CHARS_MAX)}…` : value}
            </span>
          )}
        </span>
      ))}
    </>
  );
}

const TONES = { observed: undefined, safe: "good", finalized: "good", retracted: "bad" } as const;

export function StatusBadge({ status }: { status: string }) {
  const t = useT();
  const known = status in TONES ? (status as keyof typeof TONES) : "observed";
  return <Badge tone={TONES[known]}>{t(`events.${known}`)}</Badge>;
}

function useColumns(withToken: boolean): Column<Heard>[] {
  const t = useT();
  const count = useCount();
  const tokenOf = useTokens();
  return useMemo(() => {
    const columns: Column<Heard>[] = [
      { key: "event", title: t("events.event"), cell: ({ event }) => event.event ?? "–" },
      {
        key: "details",
        title: t("events.details"),
        className: "details",
        cell: ({ event }) => <Arguments event={event} token={tokenOf(event.chain_id, event.address)} />,
      },
      { key: "block", title: t("events.block"), numeric: true, cell: ({ event }) => count(event.block_number) },
      { key: "when", title: t("events.when"), cell: ({ event }) => <Age at={event.timestamp * 1000} /> },
      { key: "tx", title: t("events.tx"), cell: ({ event }) => <TransactionLink hash={event.tx_hash} /> },
      {
        key: "status",
        title: t("events.status"),
        cell: ({ event, kind }) => <StatusBadge status={kind === "retracted" ? "retracted" : event.status} />,
      },
    ];
    if (withToken) {
      columns.splice(1, 0, {
        key: "contract",
        title: t("events.contract"),
        cell: ({ event }) => {
          const token = tokenOf(event.chain_id, event.address);
          return token ? (
            <Link href={`/tokens/${token.chain_id}/${token.address}`}>{token.symbol ?? short(token.address)}</Link>
          ) : (
            <span className="mono" title={event.address}>
              {short(event.address)}
            </span>
          );
        },
      });
    }
    return columns;
  }, [t, count, tokenOf, withToken]);
}

function TransactionLink({ hash }: { hash: string }) {
  return (
    <Link href={`/transactions/${hash}`} className="mono" title={hash}>
      {short(hash)}
    </Link>
  );
}

export function EventTable({ caption, rows, withToken = false, more }: { caption: string; rows: Heard[]; withToken?: boolean; more?: React.ComponentProps<typeof Table>["more"] }) {
  const columns = useColumns(withToken);
  return (
    <Table
      caption={caption}
      columns={columns}
      rows={rows}
      rowKey={({ event, kind }) => `${event.id}:${kind}`}
      rowClass={({ kind }) => (kind === "retracted" ? "retracted" : undefined)}
      more={more}
    />
  );
}

/** Stored events of a filter, newest first. */
export function StoredEvents({ caption, query, withToken = false }: { caption: string; query: Query; withToken?: boolean }) {
  const t = useT();
  const events = useInfiniteQuery(eventsQuery(query));
  return (
    <Loaded query={events}>
      {(data) => {
        const rows = data.pages.flatMap((page) => page.items.map((event) => ({ kind: "observed" as const, event })));
        if (rows.length === 0) return <Empty>{t("state.none")}</Empty>;
        const more = { available: events.hasNextPage, loading: events.isFetchingNextPage, load: () => void events.fetchNextPage() };
        return <EventTable caption={caption} rows={rows} withToken={withToken} more={more} />;
      }}
    </Loaded>
  );
}

/** Rows that a page opens with, before anything arrives. */
const BEGIN_WITH = 50;

/** The newest events, those of one token or all: what is stored, and what arrives while one looks. */
export function LiveEvents({ caption, of }: { caption: string; of?: { chain: number; address: string } }) {
  const t = useT();
  const { recent } = useLive();
  const query = of ? { chain_id: of.chain, contract: of.address, limit: BEGIN_WITH } : { limit: BEGIN_WITH };
  const stored = useInfiniteQuery(eventsQuery(query));
  const heard = of ? recent.filter(({ event }) => event.chain_id === of.chain && same(event.address, of.address)) : recent;
  return (
    <Loaded query={stored}>
      {(data) => {
        const rows = merged(heard, data.pages[0]?.items ?? []);
        return rows.length === 0 ? <Empty>{t("state.none")}</Empty> : <EventTable caption={caption} rows={rows} withToken={!of} />;
      }}
    </Loaded>
  );
}

/** Heard events and stored ones, newest first, each once; the stored one knows the newer status. */
export function merged(heard: Heard[], stored: HubEvent[]): Heard[] {
  const gone = new Set(heard.filter(({ kind }) => kind === "retracted").map(({ event }) => event.id));
  const rows = new Map<string, Heard>();
  for (const one of heard) if (one.kind === "retracted" || !gone.has(one.event.id)) rows.set(`${one.event.id}:${one.kind}`, one);
  for (const event of stored) rows.set(`${event.id}:observed`, { kind: "observed", event });
  return [...rows.values()].sort((a, b) => b.event.block_number - a.event.block_number || b.event.log_index - a.event.log_index);
}

export function TransactionHash({ hash }: { hash: string }) {
  return <Hex value={hash} full label="copy.hash" />;
}
