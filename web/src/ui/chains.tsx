// How a network and its index stand.
import { useQuery } from "@tanstack/react-query";
import type { Chain, Status } from "../api/client";
import { statusQuery } from "../api/queries";
import { useCount, useT, type MessageKey } from "../i18n";
import { Age, Badge } from "./parts";

/** Blocks behind that are ordinary, and those that are still no alarm. */
const LAG_ORDINARY = 2;
const LAG_BEARABLE = 20;

const TONES = { ok: "good", starting: "warn", degraded: "warn", failed: "bad" } as const;

/** A network's name from the status, else its number. */
export function useChainName(): (chain: number) => string {
  const { data } = useQuery(statusQuery);
  return (chain) => data?.chains.find((known) => known.chain_id === chain)?.name ?? String(chain);
}

export function StateBadge({ state }: { state: string }) {
  const t = useT();
  const known = (state in TONES ? state : "failed") as keyof typeof TONES;
  return <Badge tone={TONES[known]}>{t(`overview.${known}` as MessageKey)}</Badge>;
}

export function ChainCard({ chain }: { chain: Chain }) {
  const t = useT();
  const count = useCount();
  const block = (number: number | null) => (number === null ? t("state.unknown") : count(number));
  return (
    <section className="card" aria-label={chain.name}>
      <div className="head">
        <h2>
          {chain.name} <span className="quiet">{chain.chain_id}</span>
        </h2>
        {chain.lag === null ? null : (
          <Badge tone={chain.lag <= LAG_ORDINARY ? "good" : chain.lag <= LAG_BEARABLE ? "warn" : "bad"}>
            {t("overview.lag")}: {t("overview.blocks", { n: count(chain.lag) })}
          </Badge>
        )}
      </div>
      <dl className="figures">
        <div>
          <dt>{t("overview.head")}</dt>
          <dd>{block(chain.head)}</dd>
        </div>
        <div>
          <dt>{t("overview.indexed")}</dt>
          <dd>{block(chain.indexed)}</dd>
        </div>
        <div>
          <dt>{t("overview.verified")}</dt>
          <dd>{block(chain.verified_through)}</dd>
        </div>
        <div>
          <dt>{t("overview.finalized")}</dt>
          <dd>{block(chain.finalized)}</dd>
        </div>
      </dl>
      {chain.head_seen_at === null ? null : (
        <p className="quiet small">
          {t("overview.headAge")}: <Age at={chain.head_seen_at * 1000} />
        </p>
      )}
    </section>
  );
}

export function Components({ status }: { status: Status }) {
  const t = useT();
  return (
    <div className="table">
      <table>
        <caption className="sr">{t("overview.components")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("overview.part")}</th>
            <th scope="col">{t("token.state")}</th>
            <th scope="col">{t("overview.detail")}</th>
          </tr>
        </thead>
        <tbody>
          {status.components.map((part) => (
            <tr key={part.name}>
              <td>{part.name}</td>
              <td>
                <StateBadge state={part.state} />
              </td>
              <td>{part.detail}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
