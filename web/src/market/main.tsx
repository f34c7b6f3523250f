// The Marketplace: for investors and whoever wants to look.
import { lazy } from "react";
import { Route, Switch } from "wouter";
import { useT } from "../i18n";
import { NotFound, Settings, start, Frame, type Place } from "../ui/frame";
import { Hex } from "../ui/parts";
import { useWallet, WalletProvider } from "../wallet";
import { Explore } from "./Explore";

const pages = () => import("./pages");
const Asset = lazy(() => pages().then((page) => ({ default: page.Asset })));
const Portfolio = lazy(() => pages().then((page) => ({ default: page.Portfolio })));
const Activity = lazy(() => pages().then((page) => ({ default: page.Activity })));
const StatusPage = lazy(() => pages().then((page) => ({ default: page.StatusPage })));
const Transfer = lazy(() => import("./Transfer").then((page) => ({ default: page.Transfer })));
const TransactionPage = lazy(() => import("../ui/transaction").then((page) => ({ default: page.TransactionPage })));

const PLACES: Place[] = [
  { path: "/", label: "nav.explore" },
  { path: "/portfolio", label: "nav.portfolio" },
  { path: "/activity", label: "nav.activity" },
  { path: "/transfer", label: "nav.transfer" },
  { path: "/status", label: "nav.status" },
  { path: "/settings", label: "nav.settings" },
];

function WalletCorner() {
  const t = useT();
  const { account, choose, disconnect } = useWallet();
  if (account === null) {
    return (
      <button type="button" onClick={choose}>
        {t("wallet.connect")}
      </button>
    );
  }
  return (
    <span className="row">
      <span className="sr">{t("wallet.connected")}</span>
      <Hex value={account} />
      <button type="button" className="bare" onClick={disconnect}>
        {t("wallet.disconnect")}
      </button>
    </span>
  );
}

function Market() {
  return (
    <WalletProvider>
      <Frame layout="top" part="app.market" places={PLACES} end={<WalletCorner />}>
        <Switch>
          <Route path="/" component={Explore} />
          <Route path="/tokens/:chain/:address">{({ chain, address }) => <Asset key={address} chain={Number(chain)} address={address} />}</Route>
          <Route path="/transactions/:hash">{({ hash }) => <TransactionPage hash={hash} />}</Route>
          <Route path="/portfolio" component={Portfolio} />
          <Route path="/activity" component={Activity} />
          <Route path="/transfer" component={Transfer} />
          <Route path="/status" component={StatusPage} />
          <Route path="/settings" component={Settings} />
          <Route component={NotFound} />
        </Switch>
      </Frame>
    </WalletProvider>
  );
}

start("/market", <Market />);
