// The Marketplace: for investors and whoever wants to look.
import { lazy } from "react";
import { Route, Switch } from "wouter";
import { NotFound, Settings, start, TopFrame, type Place } from "../ui/frame";
import { SessionCorner } from "../ui/sign-in";
import { Explore } from "./Explore";

const pages = () => import("./pages");
const Asset = lazy(() => pages().then((page) => ({ default: page.Asset })));
const Portfolio = lazy(() => pages().then((page) => ({ default: page.Portfolio })));
const Activity = lazy(() => pages().then((page) => ({ default: page.Activity })));
const StatusPage = lazy(() => pages().then((page) => ({ default: page.StatusPage })));
const Account = lazy(() => import("../ui/account").then((page) => ({ default: page.Account })));
const Keys = lazy(() => import("../ui/account").then((page) => ({ default: page.Keys })));
const Transfer = lazy(() => import("./Transfer").then((page) => ({ default: page.Transfer })));
const TransactionPage = lazy(() => import("../ui/transaction").then((page) => ({ default: page.TransactionPage })));

const PLACES: Place[] = [
  { path: "/", label: "nav.explore" },
  { path: "/portfolio", label: "nav.portfolio" },
  { path: "/activity", label: "nav.activity" },
  { path: "/transfer", label: "nav.transfer" },
  { path: "/status", label: "nav.status" },
  { path: "/account", label: "nav.account" },
  { path: "/keys", label: "nav.keys" },
  { path: "/settings", label: "nav.settings" },
];

function Market() {
  return (
      <TopFrame part="app.market" places={PLACES} end={<SessionCorner />}>
        <Switch>
          <Route path="/" component={Explore} />
          <Route path="/tokens/:chain/:address">{({ chain, address }) => <Asset key={address} chain={Number(chain)} address={address} />}</Route>
          <Route path="/transactions/:hash">{({ hash }) => <TransactionPage hash={hash} />}</Route>
          <Route path="/portfolio" component={Portfolio} />
          <Route path="/activity" component={Activity} />
          <Route path="/transfer" component={Transfer} />
          <Route path="/status" component={StatusPage} />
          <Route path="/account" component={Account} />
          <Route path="/keys" component={Keys} />
          <Route path="/settings" component={Settings} />
          <Route component={NotFound} />
        </Switch>
      </TopFrame>
  );
}

start("/market", <Market />);
