// The pages of the Admin Dashboard that read the index.
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import type { Query, Token } from "../api/client";
import { useLive } from "../api/live";
import { statusQuery, tokenQuery, tokensQuery } from "../api/queries";
import { useCount, useT } from "../i18n";
import { isAddress } from "../lib/address";
import { ChainCard, Components, StateBadge } from "../ui/chains";
import { EventTable, LiveEvents, StoredEvents } from "../ui/events";
import { Heading } from "../ui/frame";
import { Empty, Field, Loaded, Tabs, Updated } from "../ui/parts";
import { ContractFacts, Distribution, HoldersTable, TokenTable, TransferCheck, Volume } from "../ui/token-panels";
import { TokenFigures, tokenTitle, TokenState } from "../ui/tokens";

export function Overview() {
  const t = useT();
  const count = useCount();
  const status = useQuery(statusQuery);
  const tokens = useQuery(tokensQuery);
  const { recent } = useLive();
  const retracted = recent.filter(({ kind }) => kind === "retracted").length;
  return (
    <>
      <Heading title={t("overview.title")}>
        <span className="row">
          {status.data ? <StateBadge state={status.data.status} /> : null}
          <Updated at={status.dataUpdatedAt} />
        </span>
      </Heading>
      <Loaded query={status}>
        {(data) => {
          const sum = (of: (chain: (typeof data.chains)[number]) => number) => data.chains.reduce((total, chain) => total + of(chain), 0);
          return (
            <>
              <dl className="figures card">
                <div>
                  <dt>{t("overview.tokens")}</dt>
                  <dd>{tokens.data ? count(tokens.data.items.length) : "…"}</dd>
                </div>
                <div>
                  <dt>{t("overview.holders")}</dt>
                  <dd>{tokens.data ? count(tokens.data.items.reduce((total, token) => total + token.holders, 0)) : "…"}</dd>
                </div>
                <div>
                  <dt>{t("overview.events")}</dt>
                  <dd>{count(sum((chain) => chain.events))}</dd>
                </div>
                <div>
                  <dt>{t("overview.undecoded")}</dt>
                  <dd>{count(sum((chain) => chain.undecoded))}</dd>
                </div>
                <div>
                  <dt>{t("overview.retractions")}</dt>
                  <dd>{count(retracted)}</dd>
                </div>
              </dl>
              <section className="stack">
                <h2>{t("overview.chains")}</h2>
                <div className="grid wide">
                  {data.chains.map((chain) => (
                    <ChainCard key={chain.chain_id} chain={chain} />
                  ))}
                </div>
              </section>
              <section className="stack">
                <h2>{t("overview.components")}</h2>
                <Components status={data} />
              </section>
            </>
          );
        }}
      </Loaded>
      <section className="stack">
        <h2>{t("events.liveFeed")}</h2>
        <LiveEvents caption={t("events.liveFeed")} />
      </section>
    </>
  );
}

export function Tokens() {
  const t = useT();
  const count = useCount();
  const tokens = useQuery(tokensQuery);
  const [search, setSearch] = useState("");
  const wanted = search.trim().toLowerCase();
  return (
    <>
      <Heading title={t("nav.tokens")}>
        <Updated at={tokens.dataUpdatedAt} />
      </Heading>
      <search className="form">
        <Field label={t("explore.search")} type="search" value={search} onChange={(event) => setSearch(event.target.value)} />
      </search>
      <Loaded query={tokens}>
        {({ items, complete }) => {
          const shown = items.filter((token) => [token.name, token.symbol, token.address].some((text) => text?.toLowerCase().includes(wanted) ?? false));
          return (
            <>
              {complete ? null : <p className="verdict warn">{t("state.incomplete", { n: count(items.length) })}</p>}
              {shown.length === 0 ? <Empty>{t(items.length === 0 ? "state.none" : "state.noMatch")}</Empty> : <TokenTable tokens={shown} />}
            </>
          );
        }}
      </Loaded>
    </>
  );
}

type Tab = "summary" | "holders" | "events" | "check" | "contract";

export function TokenDetail({ chain, address }: { chain: number; address: string }) {
  const token = useQuery(tokenQuery(chain, address));
  return <Loaded query={token}>{(data) => <TokenView token={data} updated={token.dataUpdatedAt} />}</Loaded>;
}

function TokenView({ token, updated }: { token: Token; updated: number }) {
  const t = useT();
  const [tab, setTab] = useState<Tab>("summary");
  return (
    <>
      <Heading title={tokenTitle(t, token)} lead={t(token.identity_registry ? "token.restricted" : "token.unrestricted")}>
        <span className="row">
          <TokenState token={token} />
          <Updated at={updated} />
        </span>
      </Heading>
      <Tabs
        label={tokenTitle(t, token)}
        value={tab}
        onChange={setTab}
        options={[
          ["summary", t("asset.overview")],
          ["holders", t("token.holders")],
          ["events", t("asset.events")],
          ["check", t("asset.check")],
          ["contract", t("asset.facts")],
        ]}
      >
        {tab === "summary" ? (
          <>
            <TokenFigures token={token} />
            <div className="grid wide">
              <Distribution token={token} />
              <Volume token={token} />
            </div>
            <LiveEvents caption={t("events.liveFeed")} of={{ chain: token.chain_id, address: token.address }} />
          </>
        ) : null}
        {tab === "holders" ? <HoldersTable token={token} /> : null}
        {tab === "events" ? <StoredEvents caption={t("asset.events")} query={{ chain_id: token.chain_id, contract: token.address }} /> : null}
        {tab === "check" ? <TransferCheck token={token} /> : null}
        {tab === "contract" ? <ContractFacts token={token} /> : null}
      </Tabs>
    </>
  );
}

export function Events() {
  const t = useT();
  const [fields, setFields] = useState({ event: "", address: "", contract: "", from_block: "", to_block: "" });
  const [query, setQuery] = useState<Query>({});
  const [touched, setTouched] = useState(false);
  const set = (key: keyof typeof fields) => (event: React.ChangeEvent<HTMLInputElement>) => setFields({ ...fields, [key]: event.target.value });
  const notAddress = fields.address !== "" && !isAddress(fields.address.trim());
  const notBlock = (text: string) => text !== "" && !/^\d{1,15}$/.test(text.trim());
  const filter = (event: React.FormEvent) => {
    event.preventDefault();
    setTouched(true);
    if (notAddress || notBlock(fields.from_block) || notBlock(fields.to_block)) return;
    setQuery(Object.fromEntries(Object.entries(fields).map(([key, text]) => [key, text.trim()])));
  };
  return (
    <>
      <Heading title={t("nav.events")} />
      <form className="form" onSubmit={filter} noValidate>
        <Field label={t("events.name")} value={fields.event} placeholder="Transfer" onChange={set("event")} />
        <Field label={t("events.address")} value={fields.address} placeholder="0x…" fault={touched && notAddress ? t("fault.address") : null} onChange={set("address")} />
        <Field label={t("events.contract")} value={fields.contract} onChange={set("contract")} />
        <Field label={t("events.from")} inputMode="numeric" value={fields.from_block} fault={touched && notBlock(fields.from_block) ? t("holders.badBlock") : null} onChange={set("from_block")} />
        <Field label={t("events.to")} inputMode="numeric" value={fields.to_block} fault={touched && notBlock(fields.to_block) ? t("holders.badBlock") : null} onChange={set("to_block")} />
        <div className="row" style={{ alignSelf: "end" }}>
          <button type="submit" className="primary">
            {t("events.filter")}
          </button>
        </div>
      </form>
      <StoredEvents caption={t("nav.events")} query={query} withToken />
    </>
  );
}

export function Indexer() {
  const t = useT();
  const count = useCount();
  const status = useQuery(statusQuery);
  const { recent } = useLive();
  const taken = useMemo(() => recent.filter(({ kind }) => kind === "retracted"), [recent]);
  return (
    <>
      <Heading title={t("indexer.title")} lead={t("indexer.lead")}>
        <Updated at={status.dataUpdatedAt} />
      </Heading>
      <Loaded query={status}>
        {(data) => (
          <div className="stack">
            {data.chains.map((chain) => (
              <div key={chain.chain_id} className="stack">
                <ChainCard chain={chain} />
                <dl className="figures card">
                  <div>
                    <dt>{t("indexer.blocks")}</dt>
                    <dd>{count(chain.blocks)}</dd>
                  </div>
                  <div>
                    <dt>{t("indexer.logs")}</dt>
                    <dd>{count(chain.logs)}</dd>
                  </div>
                  <div>
                    <dt>{t("indexer.events")}</dt>
                    <dd>{count(chain.events)}</dd>
                  </div>
                  <div>
                    <dt>{t("overview.undecoded")}</dt>
                    <dd>{count(chain.undecoded)}</dd>
                  </div>
                </dl>
              </div>
            ))}
          </div>
        )}
      </Loaded>
      <section className="stack">
        <h2>{t("indexer.reorgs")}</h2>
        {taken.length === 0 ? <Empty>{t("indexer.reorgs.none")}</Empty> : <EventTable caption={t("indexer.reorgs")} rows={taken} withToken />}
      </section>
    </>
  );
}

export function SystemPage() {
  const t = useT();
  const count = useCount();
  const status = useQuery(statusQuery);
  return (
    <>
      <Heading title={t("system.title")}>
        <Updated at={status.dataUpdatedAt} />
      </Heading>
      <Loaded query={status}>
        {(data) => (
          <>
            <dl className="facts card">
              <dt>{t("system.version")}</dt>
              <dd>{data.version}</dd>
              <dt>{t("token.state")}</dt>
              <dd>
                <StateBadge state={data.status} />
              </dd>
              <dt>{t("system.feed")}</dt>
              <dd>{count(data.feed)}</dd>
              <dt>{t("system.api")}</dt>
              <dd>
                <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>
              </dd>
              <dt>{t("system.ready")}</dt>
              <dd>
                <a href="/readyz">/readyz</a>
              </dd>
            </dl>
            <Components status={data} />
          </>
        )}
      </Loaded>
    </>
  );
}
