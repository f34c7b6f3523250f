// The Admin Dashboard: for issuers, compliance officers and operators.
import { lazy } from "react";
import { Route, Switch } from "wouter";
import { NotFound, Settings, Frame, start, type Place } from "../ui/frame";

const pages = () => import("./pages");
const Overview = lazy(() => pages().then((page) => ({ default: page.Overview })));
const Tokens = lazy(() => pages().then((page) => ({ default: page.Tokens })));
const TokenDetail = lazy(() => pages().then((page) => ({ default: page.TokenDetail })));
const Events = lazy(() => pages().then((page) => ({ default: page.Events })));
const Indexer = lazy(() => pages().then((page) => ({ default: page.Indexer })));
const SystemPage = lazy(() => pages().then((page) => ({ default: page.SystemPage })));
const TransactionPage = lazy(() => import("../ui/transaction").then((page) => ({ default: page.TransactionPage })));

const PLACES: Place[] = [
  { path: "/", label: "nav.overview" },
  { path: "/tokens", label: "nav.tokens" },
  { path: "/events", label: "nav.events" },
  { path: "/indexer", label: "nav.indexer" },
  { path: "/system", label: "nav.system" },
  { path: "/settings", label: "nav.settings" },
];

start(
  "/admin",
  <Frame layout="side" part="app.admin" places={PLACES}>
    <Switch>
      <Route path="/" component={Overview} />
      <Route path="/tokens" component={Tokens} />
      <Route path="/tokens/:chain/:address">{({ chain, address }) => <TokenDetail key={address} chain={Number(chain)} address={address} />}</Route>
      <Route path="/transactions/:hash">{({ hash }) => <TransactionPage hash={hash} />}</Route>
      <Route path="/events" component={Events} />
      <Route path="/indexer" component={Indexer} />
      <Route path="/system" component={SystemPage} />
      <Route path="/settings" component={Settings} />
      <Route component={NotFound} />
    </Switch>
  </Frame>,
);
