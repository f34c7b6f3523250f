// What is there, and whether you may hold it.
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { Link } from "wouter";
import type { Token } from "../api/client";
import { tokensQuery } from "../api/queries";
import { useCount, useLanguage, useT } from "../i18n";
import { useChainName } from "../ui/chains";
import { Heading } from "../ui/frame";
import { Amount, Empty, Field, Loaded, Loading, Segments, Updated } from "../ui/parts";
import { tokenTitle, TokenState } from "../ui/tokens";
import { MayHold } from "./MayHold";

const TokenTable = lazy(() => import("../ui/token-panels").then((panels) => ({ default: panels.TokenTable })));

type Sort = "holders" | "transfers" | "name";
type View = "cards" | "table";

export function Explore() {
  const t = useT();
  const count = useCount();
  const { language } = useLanguage();
  const tokens = useQuery(tokensQuery);
  const [search, setSearch] = useState("");
  const [standard, setStandard] = useState("");
  const [sort, setSort] = useState<Sort>("holders");
  const [view, setView] = useState<View>("cards");
  const compare: Record<Sort, (a: Token, b: Token) => number> = {
    holders: (a, b) => b.holders - a.holders,
    transfers: (a, b) => b.transfers - a.transfers,
    name: (a, b) => tokenTitle(t, a).localeCompare(tokenTitle(t, b), language),
  };
  const wanted = search.trim().toLowerCase();
  const matches = (token: Token) =>
    (standard === "" || token.standard === standard) &&
    [token.name, token.symbol, token.address].some((text) => text?.toLowerCase().includes(wanted) ?? false);
  return (
    <>
      <Heading title={t("explore.title")} lead={t("explore.lead")}>
        <Updated at={tokens.dataUpdatedAt} />
      </Heading>
      <search className="form">
        <Field label={t("explore.search")} type="search" value={search} onChange={(event) => setSearch(event.target.value)} />
        <label>
          {t("explore.standard")}
          <select value={standard} onChange={(event) => setStandard(event.target.value)}>
            <option value="">{t("explore.all")}</option>
            <option value="erc20">ERC-20</option>
            <option value="erc721">ERC-721</option>
            <option value="erc3643">ERC-3643</option>
          </select>
        </label>
        <label>
          {t("explore.sort")}
          <select value={sort} onChange={(event) => setSort(event.target.value as Sort)}>
            <option value="holders">{t("token.holders")}</option>
            <option value="transfers">{t("token.transfers")}</option>
            <option value="name">{t("token.name")}</option>
          </select>
        </label>
        <Segments
          legend={t("explore.view")}
          value={view}
          onChange={setView}
          options={[
            ["cards", t("explore.cards")],
            ["table", t("explore.table")],
          ]}
        />
      </search>
      <Loaded query={tokens}>
        {({ items, complete }) => {
          const shown = items.filter(matches).sort(compare[sort]);
          return (
            <>
              {complete ? null : <p className="verdict warn">{t("state.incomplete", { n: count(items.length) })}</p>}
              {shown.length === 0 ? (
                <Empty>{t(items.length === 0 ? "state.none" : "state.noMatch")}</Empty>
              ) : view === "table" ? (
                <Suspense fallback={<Loading />}>
                  <TokenTable tokens={shown} />
                </Suspense>
              ) : (
                <>
                  {shown.length > CARDS_MAX ? <p className="verdict warn">{t("state.incomplete", { n: count(CARDS_MAX) })}</p> : null}
                <div className="grid">
                  {shown.slice(0, CARDS_MAX).map((token) => (
                    <TokenCard key={`${token.chain_id}:${token.address}`} token={token} />
                  ))}
                </div>
                </>
              )}
            </>
          );
        }}
      </Loaded>
    </>
  );
}

/** Cards drawn at once; the table shows any number. */
const CARDS_MAX = 60;

function TokenCard({ token }: { token: Token }) {
  const t = useT();
  const count = useCount();
  const chainName = useChainName();
  return (
    <Link href={`/tokens/${token.chain_id}/${token.address}`} className="card token">
      <div className="row">
        <span className="name">{tokenTitle(t, token)}</span>
        {token.paused ? <TokenState token={token} /> : null}
      </div>
      <dl className="facts">
        <dt>{token.symbol ?? t("token.supply")}</dt>
        <dd>
          <Amount value={token.supply} decimals={token.decimals} places={2} />
        </dd>
        <dt>{t("token.holders")}</dt>
        <dd>{count(token.holders)}</dd>
        <dt>{t("token.chain")}</dt>
        <dd>
          {chainName(token.chain_id)} · {token.standard.toUpperCase().replace("ERC", "ERC-")}
        </dd>
      </dl>
      <MayHold token={token} />
    </Link>
  );
}
