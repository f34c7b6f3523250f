// Wallets of the browser: found by EIP-6963, spoken to by EIP-1193. No key ever comes near this page.
import { createContext, useCallback, useContext, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { useT, type Translate } from "../i18n";

export interface Provider {
  request(args: { method: string; params?: unknown[] }): Promise<unknown>;
  on?(event: string, listener: (value: never) => void): void;
  removeListener?(event: string, listener: (value: never) => void): void;
}

interface Announced {
  info: { uuid: string; name: string; icon: string; rdns: string };
  provider: Provider;
}

export interface Wallet {
  account: string | null;
  /** Network that the wallet is on. */
  chain: number | null;
  provider: Provider | null;
  /** Opens the choice of wallets. */
  choose: () => void;
  disconnect: () => void;
}

/** Codes of EIP-1193 and EIP-1474 that people meet. */
const REJECTED = 4001;
const LOCKED = 4100;
const UNKNOWN_CHAIN = 4902;
const REMEMBERED = "rwahub.wallet";

const Context = createContext<Wallet>({ account: null, chain: null, provider: null, choose: () => {}, disconnect: () => {} });
export const useWallet = () => useContext(Context);

interface WalletError {
  code?: number;
  message?: string;
}

/** What a wallet's error means to the person who sees it. */
export function walletFault(t: Translate, error: unknown): string {
  const { code, message } = (error ?? {}) as WalletError;
  if (code === REJECTED) return t("wallet.rejected");
  if (code === LOCKED) return t("wallet.locked");
  return t("wallet.failed", { why: message ?? String(error) });
}

/** Asks the wallet to change its network; one that it does not know is added with our own endpoint. */
export async function switchChain(provider: Provider, chain: number, name: string): Promise<void> {
  const chainId = `0x${chain.toString(16)}`;
  try {
    await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId }] });
  } catch (error) {
    if ((error as WalletError).code !== UNKNOWN_CHAIN) throw error;
    const rpcUrls = [`${location.origin}/rpc/${chain}`];
    const nativeCurrency = { name: "Ether", symbol: "ETH", decimals: 18 };
    await provider.request({ method: "wallet_addEthereumChain", params: [{ chainId, chainName: name, rpcUrls, nativeCurrency }] });
  }
}

export function WalletProvider({ children }: { children: ReactNode }) {
  const t = useT();
  const [found, setFound] = useState<Announced[]>([]);
  const [chosen, setChosen] = useState<Announced | null>(null);
  const [account, setAccount] = useState<string | null>(null);
  const [chain, setChain] = useState<number | null>(null);
  const [fault, setFault] = useState<string | null>(null);
  const dialog = useRef<HTMLDialogElement>(null);

  useEffect(() => {
    const hear = (event: Event) => {
      const announced = (event as CustomEvent<Announced>).detail;
      setFound((known) => (known.some((one) => one.info.uuid === announced.info.uuid) ? known : [...known, announced]));
    };
    window.addEventListener("eip6963:announceProvider", hear);
    window.dispatchEvent(new Event("eip6963:requestProvider"));
    return () => window.removeEventListener("eip6963:announceProvider", hear);
  }, []);

  // A wallet that was connected before is used again, without asking, if it still allows it.
  useEffect(() => {
    const remembered = localStorage.getItem(REMEMBERED);
    const again = found.find((one) => one.info.rdns === remembered);
    if (!again || chosen) return;
    void again.provider
      .request({ method: "eth_accounts" })
      .then((accounts) => ((accounts as string[]).length > 0 ? setChosen(again) : undefined))
      .catch(() => undefined);
  }, [found, chosen]);

  useEffect(() => {
    if (!chosen) return;
    const { provider } = chosen;
    const accounts = (list: string[]) => setAccount(list[0] ?? null);
    const moved = (id: string) => setChain(Number(BigInt(id)));
    provider.on?.("accountsChanged", accounts as never);
    provider.on?.("chainChanged", moved as never);
    void provider.request({ method: "eth_accounts" }).then((list) => accounts(list as string[]));
    void provider.request({ method: "eth_chainId" }).then((id) => moved(id as string));
    return () => {
      provider.removeListener?.("accountsChanged", accounts as never);
      provider.removeListener?.("chainChanged", moved as never);
    };
  }, [chosen]);

  const connect = async (wallet: Announced) => {
    setFault(null);
    try {
      await wallet.provider.request({ method: "eth_requestAccounts" });
      localStorage.setItem(REMEMBERED, wallet.info.rdns);
      setChosen(wallet);
      dialog.current?.close();
    } catch (error) {
      setFault(walletFault(t, error));
    }
  };
  const choose = useCallback(() => {
    setFault(null);
    window.dispatchEvent(new Event("eip6963:requestProvider"));
    dialog.current?.showModal();
  }, []);
  const disconnect = useCallback(() => {
    localStorage.removeItem(REMEMBERED);
    setChosen(null);
    setAccount(null);
    setChain(null);
  }, []);
  const value = useMemo<Wallet>(() => ({ account, chain, provider: chosen?.provider ?? null, choose, disconnect }), [account, chain, chosen, choose, disconnect]);

  return (
    <Context value={value}>
      {children}
      <dialog ref={dialog} aria-labelledby="wallets-title">
        <h2 id="wallets-title">{t("wallet.choose")}</h2>
        {found.length === 0 ? <p className="quiet">{t("wallet.none")}</p> : null}
        <ul className="wallets">
          {found.map((wallet) => (
            <li key={wallet.info.uuid}>
              <button type="button" onClick={() => void connect(wallet)}>
                {wallet.info.icon.startsWith("data:image/") ? <img src={wallet.info.icon} alt="" /> : null}
                {wallet.info.name}
              </button>
            </li>
          ))}
        </ul>
        {fault ? (
          <p className="fault" role="alert">
            {fault}
          </p>
        ) : null}
        <div className="row end">
          <button type="button" onClick={() => dialog.current?.close()}>
            {t("wallet.close")}
          </button>
        </div>
      </dialog>
    </Context>
  );
}
