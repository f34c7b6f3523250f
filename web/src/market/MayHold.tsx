// "You can receive it", or why not.
import { useQuery } from "@tanstack/react-query";
import type { Token } from "../api/client";
import { eligibility } from "../api/rpc";
import { useT } from "../i18n";
import { useWallet } from "../wallet";

export function MayHold({ token }: { token: Token }) {
  const t = useT();
  const { account } = useWallet();
  const restricted = token.identity_registry !== null && token.identity_registry !== undefined;
  const asked = useQuery({
    queryKey: ["live", "may-hold", token.chain_id, token.address, account],
    enabled: account !== null && restricted && !token.paused,
    queryFn: ({ signal }) => eligibility(token.chain_id, token, null, account!, 0n, signal),
  });
  if (token.paused) return <p className="verdict warn small">{t("explore.cannotPaused")}</p>;
  if (!restricted) return <p className="quiet small">{t("token.unrestricted")}</p>;
  if (account === null) return <p className="quiet small">{t("explore.connect")}</p>;
  if (!asked.data) return <p className="quiet small">{asked.error ? asked.error.message : "…"}</p>;
  const verdict = asked.data.receiver;
  if (verdict === "unknown") return <p className="quiet small">{t("explore.unknown")}</p>;
  return verdict === "verified" ? <p className="verdict good small">{t("explore.can")}</p> : <p className="verdict bad small">{t("explore.cannotIdentity")}</p>;
}
