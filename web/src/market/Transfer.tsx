// Send tokens: check, explain, sign in the wallet, follow to finality.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useSearchParams } from "wouter";
import type { Status, Token } from "../api/client";
import { holdingsQuery, statusQuery, tokensQuery } from "../api/queries";
import { eligibility, rpc, simulate, transferData } from "../api/rpc";
import { useLanguage, useT, type MessageKey } from "../i18n";
import { isAddress, lookAlike, same } from "../lib/address";
import { formatAmount, parseAmount } from "../lib/amount";
import { useChainName } from "../ui/chains";
import { Heading } from "../ui/frame";
import { Amount, Field, Hex, Loaded } from "../ui/parts";
import { amountFault, tokenTitle } from "../ui/tokens";
import { switchChain, useWallet, walletFault } from "../wallet";
import { remember, sentBefore, stage, type Receipt, type Sent, type Stage } from "./transfers";

/** Transfers whose progress is shown; each costs a question per block. */
const FOLLOWED_MAX = 5;

const keyOf = (token: Token) => `${token.chain_id}:${token.address}`;

export function Transfer() {
  const t = useT();
  const wallet = useWallet();
  const tokens = useQuery(tokensQuery);
  const [sent, setSent] = useState<Sent[]>(sentBefore);
  return (
    <>
      <Heading title={t("transfer.title")} lead={t("transfer.lead")} />
      {wallet.account === null ? (
        <section className="card row">
          <button type="button" className="primary" onClick={wallet.choose}>
            {t("wallet.connect")}
          </button>
        </section>
      ) : (
        <Loaded query={tokens}>
          {(data) => (
            <Ticket
              tokens={data.items.filter((token) => token.standard !== "erc721")}
              account={wallet.account!}
              onSent={(one) => {
                remember(one);
                setSent(sentBefore());
              }}
            />
          )}
        </Loaded>
      )}
      {sent.length > 0 ? (
        <section className="stack">
          <h2>{t("transfer.progress")}</h2>
          <p className="quiet small">{t("transfer.survives")}</p>
          {sent.slice(0, FOLLOWED_MAX).map((one) => (
            <Progress key={one.hash} sent={one} />
          ))}
        </section>
      ) : null}
    </>
  );
}

interface Draft {
  token: Token;
  to: string;
  amount: bigint;
}

function Ticket({ tokens, account, onSent }: { tokens: Token[]; account: string; onSent: (sent: Sent) => void }) {
  const t = useT();
  const { language } = useLanguage();
  const [params] = useSearchParams();
  const holdings = useQuery(holdingsQuery(account));
  const [key, setKey] = useState(params.get("token") ?? "");
  const [to, setTo] = useState("");
  const [amount, setAmount] = useState("");
  const [touched, setTouched] = useState(false);
  const [badChecksum, setBadChecksum] = useState(false);
  const [draft, setDraft] = useState<Draft | null>(null);

  const token = tokens.find((one) => keyOf(one) === key);
  const decimals = token?.decimals ?? 0;
  const holding = token ? holdings.data?.items.find((one) => one.chain_id === token.chain_id && same(one.token, token.address)) : undefined;
  const free = holding ? (holding.account_frozen ? 0n : BigInt(holding.balance) - BigInt(holding.frozen)) : 0n;
  const parsed = parseAmount(amount, decimals, language);
  const beyond = token && parsed.ok && parsed.value > (free > 0n ? free : 0n);
  const shownFree = token ? formatAmount(free > 0n ? free : 0n, decimals, language) : "";

  const toFault = !touched ? null : !isAddress(to.trim()) ? t("fault.address") : badChecksum ? t("fault.checksum") : null;
  const faultOfAmount = !touched ? null : (amountFault(t, parsed, decimals, language) ?? (beyond ? t("fault.balance", { amount: shownFree }) : null));

  const review = async (event: React.FormEvent) => {
    event.preventDefault();
    setTouched(true);
    const receiver = to.trim();
    if (!isAddress(receiver)) return;
    const { mistyped } = await import("../lib/checksum");
    const wrong = mistyped(receiver);
    setBadChecksum(wrong);
    if (wrong || !token || !parsed.ok || beyond) return;
    setDraft({ token, to: receiver, amount: parsed.value });
  };

  if (draft) return <Review draft={draft} account={account} back={() => setDraft(null)} onSent={(one) => { onSent(one); setDraft(null); setAmount(""); setTouched(false); }} />;
  return (
    <form className="card stack" onSubmit={(event) => void review(event)} noValidate>
      <div className="form">
        <label>
          {t("transfer.token")}
          <select value={key} onChange={(event) => setKey(event.target.value)}>
            <option value="">{t("transfer.choose")}</option>
            {tokens.map((one) => (
              <option key={keyOf(one)} value={keyOf(one)}>
                {tokenTitle(t, one)} {one.symbol ? `(${one.symbol})` : ""}
              </option>
            ))}
          </select>
        </label>
        <Field label={t("check.to")} value={to} fault={toFault} onChange={(event) => { setTo(event.target.value); setBadChecksum(false); }} />
        <div className="stack">
          <Field
            label={`${t("check.amount")}${token?.symbol ? ` (${token.symbol})` : ""}`}
            inputMode="decimal"
            value={amount}
            fault={faultOfAmount}
            hint={token ? t("transfer.balance", { amount: shownFree }) : undefined}
            onChange={(event) => setAmount(event.target.value)}
          />
          {token && free > 0n ? (
            <button type="button" className="bare" onClick={() => setAmount(formatAmount(free, decimals, language))}>
              {t("transfer.max")}
            </button>
          ) : null}
        </div>
      </div>
      <div className="row">
        <button type="submit" className="primary" disabled={!token}>
          {t("transfer.review")}
        </button>
      </div>
    </form>
  );
}

function Review({ draft, account, back, onSent }: { draft: Draft; account: string; back: () => void; onSent: (sent: Sent) => void }) {
  const t = useT();
  const { language } = useLanguage();
  const wallet = useWallet();
  const chainName = useChainName();
  const { token, to, amount } = draft;
  const [fault, setFault] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const data = transferData(to, amount);
  const checks = useQuery({
    queryKey: ["live", "review", token.chain_id, token.address, account, to, amount.toString()],
    queryFn: async ({ signal }) => {
      const [rules, simulated] = await Promise.all([
        eligibility(token.chain_id, token, account, to, amount, signal),
        simulate(token.chain_id, account, token.address, data),
      ]);
      return { rules, simulated };
    },
  });
  const known = sentBefore().map((one) => one.to);
  const forged = lookAlike(to, [...known, account]);
  const wrongChain = wallet.chain !== null && wallet.chain !== token.chain_id;

  const act = async (what: () => Promise<void>) => {
    setFault(null);
    setBusy(true);
    try {
      await what();
    } catch (error) {
      setFault(walletFault(t, error));
    } finally {
      setBusy(false);
    }
  };
  const sign = () =>
    act(async () => {
      const hash = (await wallet.provider!.request({ method: "eth_sendTransaction", params: [{ from: account, to: token.address, data }] })) as string;
      onSent({ chain: token.chain_id, token: token.address, symbol: token.symbol ?? null, decimals: token.decimals ?? 0, from: account, to, amount: amount.toString(), hash, at: Date.now() });
    });

  return (
    <section className="card stack">
      <p>
        <strong>{t("transfer.words", { amount: formatAmount(amount, token.decimals ?? 0, language), symbol: token.symbol ?? "", to: "" }).replace(/\s*\.$/, "")}</strong>{" "}
        <Hex value={to} full />
      </p>
      {forged ? (
        <p className="verdict bad" role="alert">
          {t("transfer.lookalike", { other: forged })}
        </p>
      ) : same(to, account) ? (
        <p className="verdict warn">{t("transfer.self")}</p>
      ) : known.some((one) => same(one, to)) ? null : (
        <p className="verdict warn">{t("transfer.newReceiver")}</p>
      )}
      <Loaded query={checks}>
        {({ simulated }) => (
          <p className={simulated.ok ? "verdict good" : "verdict bad"} role="status">
            {simulated.ok ? t("check.passes") : t("check.fails", { why: simulated.reason })}
          </p>
        )}
      </Loaded>
      {wrongChain ? (
        <p className="verdict warn" role="alert">
          {t("wallet.wrongChain", { is: chainName(wallet.chain!), wanted: chainName(token.chain_id) })}
        </p>
      ) : null}
      {fault ? (
        <p className="fault" role="alert">
          {fault}
        </p>
      ) : null}
      <div className="row">
        {wrongChain ? (
          <button type="button" className="primary" disabled={busy} onClick={() => void act(() => switchChain(wallet.provider!, token.chain_id, chainName(token.chain_id)))}>
            {t("wallet.switch")}
          </button>
        ) : (
          <button type="button" className="primary" disabled={busy || checks.data?.simulated.ok !== true} onClick={() => void sign()}>
            {t("transfer.sign")}
          </button>
        )}
        <button type="button" onClick={back}>
          {t("transfer.edit")}
        </button>
      </div>
    </section>
  );
}

const STEPS: [Stage["at"], MessageKey][] = [
  ["pending", "transfer.step.signed"],
  ["mined", "transfer.step.mined"],
  ["indexed", "transfer.step.indexed"],
  ["final", "transfer.step.final"],
];

function Progress({ sent }: { sent: Sent }) {
  const t = useT();
  const status = useQuery(statusQuery);
  const receipt = useQuery({
    queryKey: ["live", "receipt", sent.chain, sent.hash],
    queryFn: ({ signal }) => rpc<Receipt | null>(sent.chain, "eth_getTransactionReceipt", [sent.hash], signal),
    refetchInterval: 4_000,
  });
  const wasMined = useRef(false);
  const [retracted, setRetracted] = useState(false);
  const now = stage(receipt.data ?? null, ...limits(status.data, sent.chain));
  useEffect(() => {
    if (receipt.data === undefined) return;
    setRetracted(wasMined.current && receipt.data === null);
    wasMined.current ||= receipt.data !== null;
  }, [receipt.data]);
  const at = now.at === "reverted" ? 1 : STEPS.findIndex(([step]) => step === now.at);
  return (
    <article className="card stack">
      <div className="head">
        <h3>
          <Amount value={sent.amount} decimals={sent.decimals} symbol={sent.symbol} />
        </h3>
        <Hex value={sent.hash} label="copy.hash" />
      </div>
      <p className="quiet">
        {t("check.to")} <Hex value={sent.to} />
      </p>
      {now.at === "reverted" ? <p className="verdict bad">{t("transfer.reverted")}</p> : null}
      {retracted ? <p className="verdict warn">{t("transfer.retracted")}</p> : null}
      <ol className="steps">
        {STEPS.map(([step, label], index) => (
          <li key={step} className={index < at || now.at === "final" ? "done" : index === at ? "now" : undefined} aria-current={index === at ? "step" : undefined}>
            <span aria-hidden="true">{index < at || now.at === "final" ? "✓" : index === at ? "●" : "○"}</span>
            {t(label)}
          </li>
        ))}
      </ol>
    </article>
  );
}

function limits(status: Status | undefined, chain: number): [number | null, number | null] {
  const found = status?.chains.find((one) => one.chain_id === chain);
  return [found?.indexed ?? null, found?.finalized ?? null];
}
