// The pages of the Marketplace behind the first one, loaded when they are opened.
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link, useSearchParams } from "wouter";
import type { Token } from "../api/client";
import { holdingsQuery, statusQuery, tokenQuery } from "../api/queries";
import { useT } from "../i18n";
import { isAddress } from "../lib/address";
import { ChainCard, Components } from "../ui/chains";
import { LiveEvents, StoredEvents, useTokens } from "../ui/events";
import { Heading } from "../ui/frame";
import { Amount, Badge, Empty, Field, Loaded, Tabs, Updated } from "../ui/parts";
import { Table } from "../ui/table";
import { ContractFacts, Distribution, HoldersTable, TransferCheck, Volume } from "../ui/token-panels";
import { TokenFigures, tokenTitle, TokenState } from "../ui/tokens";
import { useWallet } from "../wallet";
import { MayHold } from "./MayHold";

type AssetTab = "overview" | "holders" | "activity" | "check" | "facts";

export function Asset({ chain, address }: { chain: number; address: string }) {
  const t = useT();
  const token = useQuery(tokenQuery(chain, address));
  const [tab, setTab] = useState<AssetTab>("overview");
  return <Loaded query={token}>{(data) => <AssetView token={data} updated={token.dataUpdatedAt} tab={tab} setTab={setTab} label={t("nav.main")} />}</Loaded>;
}

function AssetView({ token, updated, tab, setTab, label }: { token: Token; updated: number; tab: AssetTab; setTab: (tab: AssetTab) => void; label: string }) {
  const t = useT();
  const { account } = useWallet();
  const tabs: [AssetTab, string][] = [
    ["overview", t("asset.overview")],
    ["holders", t("token.holders")],
    ["activity", t("asset.activity")],
    ["check", t("asset.check")],
    ["facts", t("asset.facts")],
  ];
  return (
    <>
      <Heading title={tokenTitle(t, token)}>
        <span className="row">
          <TokenState token={token} />
          <Updated at={updated} />
        </span>
      </Heading>
      <MayHold token={token} />
      <TokenFigures token={token} />
      <Tabs label={label} value={tab} options={tabs} onChange={setTab}>
        {tab === "overview" ? (
          <>
            <div className="grid wide">
              <Distribution token={token} />
              <Volume token={token} />
            </div>
            <section className="stack">
              <h2>{t("events.liveFeed")}</h2>
              <LiveEvents caption={t("events.liveFeed")} of={{ chain: token.chain_id, address: token.address }} />
            </section>
          </>
        ) : null}
        {tab === "holders" ? <HoldersTable token={token} /> : null}
        {tab === "activity" ? <StoredEvents caption={t("asset.events")} query={{ chain_id: token.chain_id, contract: token.address }} /> : null}
        {tab === "check" ? <TransferCheck token={token} from={account} /> : null}
        {tab === "facts" ? <ContractFacts token={token} /> : null}
      </Tabs>
    </>
  );
}

/** The address that a page looks at: the wallet's, or one that is typed and kept in the page's own address. */
function useLookedAt(): { looked: string | null; form: React.ReactNode } {
  const t = useT();
  const { account } = useWallet();
  const [params, setParams] = useSearchParams();
  const given = params.get("address");
  const looked = given && isAddress(given) ? given : account;
  const [text, setText] = useState(given ?? "");
  const [fault, setFault] = useState<string | null>(null);
  const show = (event: React.FormEvent) => {
    event.preventDefault();
    const typed = text.trim();
    if (typed !== "" && !isAddress(typed)) return setFault(t("fault.address"));
    setFault(null);
    setParams(typed === "" ? {} : { address: typed });
  };
  const form = (
    <form className="form" onSubmit={show}>
      <Field label={t("portfolio.address")} value={text} placeholder={account ?? "0x…"} fault={fault} onChange={(event) => setText(event.target.value)} />
      <div className="row" style={{ alignSelf: "end" }}>
        <button type="submit">{t("portfolio.show")}</button>
      </div>
    </form>
  );
  return { looked, form };
}

export function Portfolio() {
  const t = useT();
  const { looked, form } = useLookedAt();
  return (
    <>
      <Heading title={t("portfolio.title")} lead={t("portfolio.lead")} />
      {form}
      {looked ? <Positions holder={looked} /> : <Empty>{t("explore.connect")}</Empty>}
    </>
  );
}

function Positions({ holder }: { holder: string }) {
  const t = useT();
  const { account } = useWallet();
  const tokenOf = useTokens();
  const holdings = useQuery(holdingsQuery(holder));
  return (
    <Loaded query={holdings}>
      {({ items }) =>
        items.length === 0 ? (
          <Empty>{t("portfolio.empty")}</Empty>
        ) : (
          <>
            <Updated at={holdings.dataUpdatedAt} />
            <Table
              caption={t("portfolio.title")}
              rows={items}
              rowKey={(row) => `${row.chain_id}:${row.token}`}
              columns={[
                {
                  key: "token",
                  title: t("transfer.token"),
                  cell: (row) => {
                    const token = tokenOf(row.chain_id, row.token);
                    return <Link href={`/tokens/${row.chain_id}/${row.token}`}>{token ? tokenTitle(t, token) : row.token}</Link>;
                  },
                },
                {
                  key: "balance",
                  title: t("holders.balance"),
                  numeric: true,
                  cell: (row) => {
                    const token = tokenOf(row.chain_id, row.token);
                    return <Amount value={row.balance} decimals={token?.decimals} symbol={token?.symbol} />;
                  },
                },
                {
                  key: "free",
                  title: t("holders.free"),
                  numeric: true,
                  cell: (row) => {
                    const token = tokenOf(row.chain_id, row.token);
                    const free = row.account_frozen || token?.paused ? 0n : BigInt(row.balance) - BigInt(row.frozen);
                    return <Amount value={free > 0n ? free : 0n} decimals={token?.decimals} />;
                  },
                },
                {
                  key: "why",
                  title: t("portfolio.why"),
                  className: "details",
                  cell: (row) => {
                    const token = tokenOf(row.chain_id, row.token);
                    const reasons = [
                      row.account_frozen ? t("portfolio.reason.account") : null,
                      row.frozen !== "0" ? t("portfolio.reason.part") : null,
                      token?.paused ? t("portfolio.reason.paused") : null,
                    ].filter((reason) => reason !== null);
                    return reasons.length === 0 ? <Badge tone="good">{t("holders.free")}</Badge> : reasons.join("; ");
                  },
                },
                {
                  key: "send",
                  title: t("portfolio.send"),
                  cell: (row) =>
                    account && account.toLowerCase() === holder.toLowerCase() ? (
                      <Link href={`/transfer?token=${row.chain_id}:${row.token}`}>{t("portfolio.send")}</Link>
                    ) : (
                      "–"
                    ),
                },
              ]}
            />
          </>
        )
      }
    </Loaded>
  );
}

export function Activity() {
  const t = useT();
  const { looked, form } = useLookedAt();
  const query = useMemo(() => ({ address: looked }), [looked]);
  return (
    <>
      <Heading title={t("activity.title")} lead={t("activity.lead")} />
      {form}
      {looked ? <StoredEvents caption={t("activity.title")} query={query} withToken /> : <Empty>{t("explore.connect")}</Empty>}
    </>
  );
}

export function StatusPage() {
  const t = useT();
  const status = useQuery(statusQuery);
  return (
    <>
      <Heading title={t("status.title")}>
        <Updated at={status.dataUpdatedAt} />
      </Heading>
      <Loaded query={status}>
        {(data) => (
          <>
            <p className={data.status === "ok" ? "verdict good" : "verdict bad"}>
              <strong>{t(data.status === "ok" ? "status.good" : "status.bad")}</strong>
            </p>
            <div className="grid wide">
              {data.chains.map((chain) => (
                <ChainCard key={chain.chain_id} chain={chain} />
              ))}
            </div>
            <Components status={data} />
          </>
        )}
      </Loaded>
    </>
  );
}
