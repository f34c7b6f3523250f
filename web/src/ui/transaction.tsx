// One transaction: where it is and what it did.
import { useQuery } from "@tanstack/react-query";
import { transactionQuery } from "../api/queries";
import { useCount, useMoment, useT } from "../i18n";
import { useChainName } from "./chains";
import { EventTable, StatusBadge, TransactionHash } from "./events";
import { Heading } from "./frame";
import { Loaded } from "./parts";

export function TransactionPage({ hash }: { hash: string }) {
  const t = useT();
  const count = useCount();
  const moment = useMoment();
  const chainName = useChainName();
  const transaction = useQuery(transactionQuery(hash));
  return (
    <>
      <Heading title={t("tx.title")} lead={t("tx.lead")} />
      <Loaded query={transaction}>
        {(data) => (
          <>
            <dl className="facts card">
              <dt>{t("tx.hash")}</dt>
              <dd>
                <TransactionHash hash={data.tx_hash} />
              </dd>
              <dt>{t("token.chain")}</dt>
              <dd>{chainName(data.chain_id)}</dd>
              <dt>{t("events.block")}</dt>
              <dd>{count(data.block_number)}</dd>
              <dt>{t("events.when")}</dt>
              <dd>{moment(data.timestamp)}</dd>
              <dt>{t("events.status")}</dt>
              <dd>
                <StatusBadge status={data.status} />
              </dd>
            </dl>
            <EventTable caption={t("asset.events")} rows={data.events.map((event) => ({ kind: "observed" as const, event }))} withToken />
          </>
        )}
      </Loaded>
    </>
  );
}
