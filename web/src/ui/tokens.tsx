// What lists and forms say of a token.
import type { Token } from "../api/client";
import { useCount, useT, type Translate } from "../i18n";
import { formatAmount, type Language, type Parsed } from "../lib/amount";
import { Amount, Badge } from "./parts";

export const tokenTitle = (t: Translate, token: Token) => token.name ?? token.symbol ?? t("token.unnamed");

export function TokenState({ token }: { token: Token }) {
  const t = useT();
  return token.paused ? <Badge tone="warn">{t("token.paused")}</Badge> : <Badge tone="good">{t("token.open")}</Badge>;
}

/** A token's running totals. */
export function TokenFigures({ token }: { token: Token }) {
  const t = useT();
  const count = useCount();
  return (
    <dl className="figures card">
      <div>
        <dt>{t("token.supply")}</dt>
        <dd>
          <Amount value={token.supply} decimals={token.decimals} symbol={token.symbol} />
        </dd>
      </div>
      <div>
        <dt>{t("token.holders")}</dt>
        <dd>{count(token.holders)}</dd>
      </div>
      <div>
        <dt>{t("token.transfers")}</dt>
        <dd>{count(token.transfers)}</dd>
      </div>
    </dl>
  );
}

/** What is wrong with a typed amount, in words. */
export function amountFault(t: Translate, parsed: Parsed, decimals: number, language: Language): string | null {
  if (parsed.ok) return null;
  switch (parsed.why) {
    case "empty":
      return t("fault.empty");
    case "not a number":
      return t("fault.number", { example: formatAmount(123450n * 10n ** BigInt(decimals) / 100n, decimals, language) });
    case "too precise":
      return t("fault.precise", { n: decimals });
    case "too large":
      return t("fault.large");
  }
}
