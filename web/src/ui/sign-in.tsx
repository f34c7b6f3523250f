// Signing in, and what a page shows to whoever has not.
import { useState, type ReactNode } from "react";
import { Failure } from "../api/client";
import { useSession } from "../api/session";
import { useT } from "../i18n";
import { useWallet, walletFault } from "../wallet";
import { Hex, Loading } from "./parts";

/** Connects a wallet if need be, then asks it for a signature. */
export function SignIn() {
  const t = useT();
  const { account, chain, provider, choose } = useWallet();
  const { signIn } = useSession();
  const [fault, setFault] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const go = async () => {
    if (!provider || account === null || chain === null) return choose();
    setFault(null);
    setBusy(true);
    try {
      await signIn(provider, account, chain);
    } catch (error) {
      setFault(error instanceof Failure ? error.message : walletFault(t, error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <span className="row">
      <button type="button" className={account === null ? undefined : "primary"} disabled={busy} onClick={() => void go()}>
        {account === null ? t("wallet.connect") : t("session.in")}
      </button>
      {fault ? (
        <span className="fault" role="alert">
          {fault}
        </span>
      ) : null}
    </span>
  );
}

/** The corner of a page: who is here. */
export function SessionCorner() {
  const t = useT();
  const { account, disconnect } = useWallet();
  const { state, signOut } = useSession();
  if (state.is === "in") {
    const shown = account ?? state.me.wallets[0];
    return (
      <span className="row">
        <span className="sr">{t("wallet.connected")}</span>
        {shown ? <Hex value={shown} /> : state.me.name}
        <button type="button" className="bare" onClick={() => void signOut()}>
          {t("session.out")}
        </button>
      </span>
    );
  }
  return (
    <span className="row">
      {account === null ? null : (
        <>
          <span className="sr">{t("wallet.connected")}</span>
          <Hex value={account} />
          <button type="button" className="bare" onClick={disconnect}>
            {t("wallet.disconnect")}
          </button>
        </>
      )}
      <SignIn />
    </span>
  );
}

/** Its children only for whoever is signed in. */
export function Signed({ children }: { children: ReactNode }) {
  const t = useT();
  const { state } = useSession();
  if (state.is === "unknown") return <Loading />;
  if (state.is === "in") return children;
  return (
    <section className="card stack">
      <p>{t("session.need")}</p>
      <SignIn />
    </section>
  );
}
