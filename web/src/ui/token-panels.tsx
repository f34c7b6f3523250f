// What both front ends show of one token, loaded with its page: holders, distribution, the transfer check, facts of the contract.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link } from "wouter";
import { address, type Holder, type Token } from "../api/client";
import { eventsQuery, holdersQuery } from "../api/queries";
import { eligibility, implementation, owner, simulate, transferData, type Eligibility } from "../api/rpc";
import { useCount, useLanguage, useT, type MessageKey } from "../i18n";
import { isAddress, short } from "../lib/address";
import { basisPoints, formatAmount, formatShare, parseAmount } from "../lib/amount";
import { Bars, Columns, type ColumnBar } from "./charts";
import { Amount, Badge, Empty, Field, Hex, Loaded } from "./parts";
import { amountFault, tokenTitle, TokenState } from "./tokens";
import { Table, type Column } from "./table";
import { useChainName } from "./chains";

export function HoldersTable({ token }: { token: Token }) {
  const t = useT();
  const count = useCount();
  const { language } = useLanguage();
  const [asked, setAsked] = useState("");
  const [fault, setFault] = useState<string | null>(null);
  const [at, setAt] = useState<number | undefined>();
  const holders = useInfiniteQuery(holdersQuery(token.chain_id, token.address, at));
  const supply = BigInt(holders.data?.pages[0]?.supply ?? "0");
  const columns = useMemo<Column<Holder>[]>(
    () => [
      { key: "holder", title: t("holders.holder"), cell: (row) => <Hex value={row.holder} /> },
      { key: "balance", title: t("holders.balance"), numeric: true, cell: (row) => <Amount value={row.balance} decimals={token.decimals} /> },
      { key: "share", title: t("holders.share"), numeric: true, cell: (row) => formatShare(basisPoints(BigInt(row.balance), supply), language) },
      {
        key: "frozen",
        title: t("holders.frozen"),
        numeric: true,
        cell: (row) => (row.account_frozen ? <Badge tone="bad">{t("holders.accountFrozen")}</Badge> : row.frozen === "0" ? "–" : <Amount value={row.frozen} decimals={token.decimals} />),
      },
      { key: "country", title: t("holders.country"), numeric: true, cell: (row) => row.country ?? "–" },
    ],
    [t, language, supply, token.decimals],
  );
  const show = (event: React.FormEvent) => {
    event.preventDefault();
    const text = asked.trim();
    if (text !== "" && !/^\d{1,15}$/.test(text)) return setFault(t("holders.badBlock"));
    setFault(null);
    setAt(text === "" ? undefined : Number(text));
  };
  const now = () => {
    setAsked("");
    setFault(null);
    setAt(undefined);
  };
  return (
    <div className="stack">
      <form className="row" onSubmit={show}>
        <Field label={t("holders.at")} inputMode="numeric" placeholder={t("holders.latest")} value={asked} fault={fault} onChange={(event) => setAsked(event.target.value)} />
        <button type="submit">{t("holders.show")}</button>
        {at === undefined ? null : (
          <button type="button" onClick={now}>
            {t("holders.now")}
          </button>
        )}
        <a className="button" download href={address(`/api/v1/tokens/${token.chain_id}/${token.address}/holders`, { format: "csv", at_block: at })}>
          {t("holders.csv")}
        </a>
      </form>
      <Loaded query={holders}>
        {(data) => {
          const first = data.pages[0];
          const rows = data.pages.flatMap((page) => page.items);
          if (!first || rows.length === 0) return <Empty>{t("state.none")}</Empty>;
          const more = { available: holders.hasNextPage, loading: holders.isFetchingNextPage, load: () => void holders.fetchNextPage() };
          return (
            <>
              <p className="quiet">
                {t("holders.trueAt", { block: count(first.at_block), supply: formatAmount(BigInt(first.supply), token.decimals ?? 0, language) })}
              </p>
              <Table caption={t("token.holders")} columns={columns} rows={rows} rowKey={(row) => row.holder} more={more} />
            </>
          );
        }}
      </Loaded>
    </div>
  );
}

/** Holders shown one by one; the rest is one bar. */
const BARS = 8;

export function Distribution({ token }: { token: Token }) {
  const t = useT();
  const { language } = useLanguage();
  const holders = useInfiniteQuery(holdersQuery(token.chain_id, token.address));
  return (
    <section className="card">
      <h2>{t("asset.distribution")}</h2>
      <Loaded query={holders}>
        {(data) => {
          const first = data.pages[0];
          if (!first || first.items.length === 0) return <Empty>{t("state.none")}</Empty>;
          const supply = BigInt(first.supply);
          const share = (rows: Holder[]) => basisPoints(rows.reduce((sum, row) => sum + BigInt(row.balance), 0n), supply);
          const bars = first.items.slice(0, BARS).map((row) => {
            const points = share([row]);
            return { key: row.holder, label: <span className="mono" title={row.holder}>{short(row.holder)}</span>, points, text: formatShare(points, language) };
          });
          const rest = 10_000 - share(first.items.slice(0, BARS));
          if (token.holders > BARS) bars.push({ key: "rest", label: <span>{t("asset.others")}</span>, points: rest, text: formatShare(rest, language) });
          return (
            <div className="stack">
              <p>
                {t("asset.distribution.text", {
                  first: formatShare(share(first.items.slice(0, 1)), language),
                  ten: formatShare(share(first.items.slice(0, 10)), language),
                })}
              </p>
              <Bars label={t("asset.distribution")} bars={bars} />
            </div>
          );
        }}
      </Loaded>
    </section>
  );
}

/** Spans that columns may have, in seconds, and their names. */
const SPANS: [number, MessageKey][] = [
  [60, "unit.minute"],
  [3_600, "unit.hour"],
  [86_400, "unit.day"],
];
const COLUMNS_MAX = 40;

/** Transfers that the columns count. */
const COUNTED_MAX = 200;

/** Transfers counted per span of time, from the newest events. */
export function Volume({ token }: { token: Token }) {
  const t = useT();
  const count = useCount();
  const { language } = useLanguage();
  const events = useInfiniteQuery(eventsQuery({ chain_id: token.chain_id, contract: token.address, event: "Transfer", limit: COUNTED_MAX }));
  return (
    <Loaded query={events}>
      {(data) => {
        const times = (data.pages[0]?.items ?? []).map((event) => event.timestamp);
        if (times.length === 0) return <Empty>{t("state.none")}</Empty>;
        const first = Math.min(...times);
        const last = Math.max(...times);
        const [span, unit] = SPANS.find(([seconds]) => (last - first) / seconds < COLUMNS_MAX) ?? SPANS[2]!;
        const start = Math.floor(first / span);
        const moment = new Intl.DateTimeFormat(language, { dateStyle: "short", timeStyle: span < 86_400 ? "short" : undefined });
        const columns: ColumnBar[] = Array.from({ length: Math.min(COLUMNS_MAX, Math.floor(last / span) - start + 1) }, (_, index) => {
          const value = times.filter((time) => Math.floor(time / span) === start + index).length;
          return { key: String(index), value, title: `${moment.format(new Date((start + index) * span * 1000))}: ${count(value)}` };
        });
        return (
          <section className="card">
            <h2>{t("asset.volume", { unit: t(unit) })}</h2>
            <Columns label={t("asset.volume.text", { n: count(times.length), events: count(times.length) })} columns={columns} />
          </section>
        );
      }}
    </Loaded>
  );
}

export function ContractFacts({ token }: { token: Token }) {
  const t = useT();
  const count = useCount();
  const chainName = useChainName();
  const facts = useQuery({
    queryKey: ["contract", token.chain_id, token.address],
    queryFn: async ({ signal }) => {
      const [behind, by] = await Promise.all([implementation(token.chain_id, token.address, signal), owner(token.chain_id, token.address, signal)]);
      return { behind, by };
    },
    staleTime: 60_000,
  });
  return (
    <section className="card">
      <h2>{t("asset.facts")}</h2>
      <dl className="facts">
        <dt>{t("token.contract")}</dt>
        <dd>
          <Hex value={token.address} full />
        </dd>
        <dt>{t("token.chain")}</dt>
        <dd>
          {chainName(token.chain_id)} ({token.chain_id})
        </dd>
        <dt>{t("token.standard")}</dt>
        <dd>{token.standard.toUpperCase().replace("ERC", "ERC-")}</dd>
        <dt>{t("token.decimals")}</dt>
        <dd>{token.decimals ?? t("state.unknown")}</dd>
        <dt>{t("token.firstBlock")}</dt>
        <dd>{count(token.first_block)}</dd>
        <dt>{t("token.registry")}</dt>
        <dd>{token.identity_registry ? <Hex value={token.identity_registry} full /> : "–"}</dd>
        <dt>{t("token.compliance")}</dt>
        <dd>{token.compliance ? <Hex value={token.compliance} full /> : "–"}</dd>
        <dt>{t("token.implementation")}</dt>
        <dd>{facts.data ? facts.data.behind ? <Hex value={facts.data.behind} full /> : t("token.notProxy") : "…"}</dd>
        <dt>{t("token.owner")}</dt>
        <dd>{facts.data ? facts.data.by ? <Hex value={facts.data.by} full /> : t("token.noOwner") : "…"}</dd>
      </dl>
    </section>
  );
}

interface Verdict extends Eligibility {
  simulated: { ok: true } | { ok: false; reason: string };
}

/** Would this transfer pass? Rules and a simulated transfer, side by side. */
export function TransferCheck({ token, from: given }: { token: Token; from?: string | null }) {
  const t = useT();
  const { language } = useLanguage();
  const decimals = token.decimals ?? 0;
  const [from, setFrom] = useState(given ?? "");
  const [to, setTo] = useState("");
  const [amount, setAmount] = useState("");
  const [asked, setAsked] = useState<{ from: string; to: string; amount: bigint } | null>(null);
  const [touched, setTouched] = useState(false);
  const parsed = parseAmount(amount, decimals, language);
  const addressFault = (text: string) => (touched && !isAddress(text.trim()) ? t("fault.address") : null);
  const verdict = useQuery({
    queryKey: ["live", "check", token.chain_id, token.address, asked?.from, asked?.to, asked?.amount.toString()],
    enabled: asked !== null,
    queryFn: async ({ signal }): Promise<Verdict> => {
      const { from, to, amount } = asked!;
      const [rules, simulated] = await Promise.all([
        eligibility(token.chain_id, token, from, to, amount, signal),
        simulate(token.chain_id, from, token.address, transferData(to, amount)),
      ]);
      return { ...rules, simulated };
    },
  });
  const run = (event: React.FormEvent) => {
    event.preventDefault();
    setTouched(true);
    if (isAddress(from.trim()) && isAddress(to.trim()) && parsed.ok) setAsked({ from: from.trim(), to: to.trim(), amount: parsed.value });
  };
  return (
    <section className="card stack">
      <p className="quiet">{t("check.lead")}</p>
      <form className="stack" onSubmit={run} noValidate>
        <div className="form">
          <Field label={t("check.from")} value={from} fault={addressFault(from)} onChange={(event) => setFrom(event.target.value)} />
          <Field label={t("check.to")} value={to} fault={addressFault(to)} onChange={(event) => setTo(event.target.value)} />
          <Field
            label={`${t("check.amount")}${token.symbol ? ` (${token.symbol})` : ""}`}
            inputMode="decimal"
            value={amount}
            fault={touched ? amountFault(t, parsed, decimals, language) : null}
            onChange={(event) => setAmount(event.target.value)}
          />
        </div>
        <div className="row">
          <button type="submit" className="primary">
            {t("check.run")}
          </button>
        </div>
      </form>
      {asked ? <Loaded query={verdict}>{(data) => <VerdictView verdict={data} />}</Loaded> : null}
    </section>
  );
}

function VerdictView({ verdict }: { verdict: Verdict }) {
  const t = useT();
  const words = { verified: "check.verified", "not verified": "check.notVerified", allowed: "check.allowed", refused: "check.refused", unknown: "check.unknown" } as const;
  const tone = (word: keyof typeof words) => (word === "unknown" ? undefined : word === "verified" || word === "allowed" ? ("good" as const) : ("bad" as const));
  const rules: [MessageKey, keyof typeof words][] = [
    ["check.sender", verdict.sender],
    ["check.receiver", verdict.receiver],
    ["check.rules", verdict.compliance],
  ];
  const simulated = verdict.simulated;
  const rulesSayNo = verdict.receiver === "not verified" || verdict.compliance === "refused";
  const rulesSayYes = verdict.receiver === "verified" && verdict.compliance === "allowed";
  const disagree = simulated.ok ? rulesSayNo : rulesSayYes;
  return (
    <div className="stack" role="status">
      <p className={simulated.ok ? "verdict good" : "verdict bad"}>
        <strong>{simulated.ok ? t("check.passes") : t("check.fails", { why: simulated.reason })}</strong>
      </p>
      <dl className="facts">
        {rules.map(([label, word]) => (
          <Fact key={label} label={t(label)}>
            <Badge tone={tone(word)}>{t(words[word])}</Badge>
          </Fact>
        ))}
        <Fact label={t("check.simulation")}>
          <Badge tone={simulated.ok ? "good" : "bad"}>{t(simulated.ok ? "check.allowed" : "check.refused")}</Badge>
        </Fact>
      </dl>
      {disagree ? <p className="verdict warn">{t("check.disagree")}</p> : null}
    </div>
  );
}

function Fact({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </>
  );
}

/** Tokens as a table with links into the front end at hand. */
export function TokenTable({ tokens }: { tokens: Token[] }) {
  const t = useT();
  const count = useCount();
  const chainName = useChainName();
  const columns = useMemo<Column<Token>[]>(
    () => [
      { key: "name", title: t("token.name"), cell: (token) => <Link href={`/tokens/${token.chain_id}/${token.address}`}>{tokenTitle(t, token)}</Link> },
      { key: "symbol", title: t("token.symbol"), cell: (token) => token.symbol ?? "–" },
      { key: "standard", title: t("token.standard"), cell: (token) => token.standard.toUpperCase().replace("ERC", "ERC-") },
      { key: "chain", title: t("token.chain"), cell: (token) => chainName(token.chain_id) },
      { key: "supply", title: t("token.supply"), numeric: true, cell: (token) => <Amount value={token.supply} decimals={token.decimals} places={2} /> },
      { key: "holders", title: t("token.holders"), numeric: true, cell: (token) => count(token.holders) },
      { key: "transfers", title: t("token.transfers"), numeric: true, cell: (token) => count(token.transfers) },
      { key: "state", title: t("token.state"), cell: (token) => <TokenState token={token} /> },
    ],
    [t, count, chainName],
  );
  return <Table caption={t("nav.tokens")} columns={columns} rows={tokens} rowKey={(token) => `${token.chain_id}:${token.address}`} />;
}
