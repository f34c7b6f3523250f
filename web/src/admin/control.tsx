// The pages of the Admin Dashboard that need rights: users and roles, audit trail, providers.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { List } from "../api/client";
import { getSigned, useSession, type Grant } from "../api/session";
import { useCount, useT } from "../i18n";
import { isAddress } from "../lib/address";
import { Fault, grantText, useChange } from "../ui/account";
import { useChainName } from "../ui/chains";
import { Heading } from "../ui/frame";
import { Age, Badge, Empty, Field, Hex, Loaded } from "../ui/parts";
import { Signed } from "../ui/sign-in";
import { Table } from "../ui/table";

interface UserRow {
  id: string;
  name: string | null;
  wallets: string[];
  grants: Grant[];
  disabled: boolean;
  created_ms: number;
}

/** Roles in the words of the daemon; what each may do is in docs/auth.md. */
const ROLES = [
  "platform_admin",
  "security_admin",
  "issuer_manager",
  "compliance_officer",
  "supply_operator",
  "approver",
  "custodian",
  "emergency",
  "treasurer",
  "support",
  "operator",
  "auditor",
  "investor",
  "api_client",
];

export function People() {
  const t = useT();
  return (
    <>
      <Heading title={t("nav.people")} lead={t("people.lead")} />
      <Signed>
        <AddUser />
        <UserList />
      </Signed>
    </>
  );
}

function RoleBoxes({ roles, set }: { roles: string[]; set: (roles: string[]) => void }) {
  const t = useT();
  return (
    <fieldset>
      <legend>{t("session.roles")}</legend>
      <div className="row">
        {ROLES.map((role) => (
          <label key={role} className="check">
            <input type="checkbox" checked={roles.includes(role)} onChange={(event) => set(event.target.checked ? [...roles, role] : roles.filter((one) => one !== role))} />
            <code>{role}</code>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

const grantsOf = (roles: string[]): Grant[] => roles.map((role) => ({ role, scope: "platform" }));

function AddUser() {
  const t = useT();
  const { change } = useSession();
  const { run, fault, busy } = useChange(["users", "audit"]);
  const [name, setName] = useState("");
  const [wallet, setWallet] = useState("");
  const [roles, setRoles] = useState<string[]>([]);
  const [touched, setTouched] = useState(false);
  const add = (event: React.FormEvent) => {
    event.preventDefault();
    setTouched(true);
    if (!isAddress(wallet.trim())) return;
    void run(async () => {
      await change("POST", "/api/v1/users", { name: name.trim() === "" ? null : name.trim(), wallet: wallet.trim(), grants: grantsOf(roles) });
      setName("");
      setWallet("");
      setRoles([]);
      setTouched(false);
    });
  };
  return (
    <form className="card stack" onSubmit={add} noValidate>
      <h2>{t("people.add")}</h2>
      <div className="form">
        <Field label={t("token.name")} value={name} onChange={(event) => setName(event.target.value)} />
        <Field label={t("people.wallet")} value={wallet} fault={touched && !isAddress(wallet.trim()) ? t("fault.address") : null} onChange={(event) => setWallet(event.target.value)} />
      </div>
      <RoleBoxes roles={roles} set={setRoles} />
      <Fault text={fault} />
      <div className="row">
        <button type="submit" className="primary" disabled={busy}>
          {t("people.add")}
        </button>
      </div>
    </form>
  );
}

function UserList() {
  const t = useT();
  const [edited, setEdited] = useState<UserRow | null>(null);
  const users = useInfiniteQuery({
    queryKey: ["signed", "users"],
    queryFn: ({ signal, pageParam }) => getSigned<List<UserRow>>("/api/v1/users", { limit: 100, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
  return (
    <>
      {edited ? <EditUser key={edited.id} user={edited} done={() => setEdited(null)} /> : null}
      <Loaded query={users}>
        {(data) => {
          const rows = data.pages.flatMap((page) => page.items);
          return rows.length === 0 ? (
            <Empty>{t("state.none")}</Empty>
          ) : (
            <Table
              caption={t("nav.people")}
              rows={rows}
              rowKey={(row) => row.id}
              more={{ available: users.hasNextPage, loading: users.isFetchingNextPage, load: () => void users.fetchNextPage() }}
              columns={[
                { key: "name", title: t("token.name"), cell: (row) => row.name ?? "–" },
                { key: "wallet", title: t("people.wallet"), cell: (row) => row.wallets.map((wallet) => <Hex key={wallet} value={wallet} />) },
                { key: "roles", title: t("session.roles"), className: "details", cell: (row) => (row.grants.length === 0 ? t("session.noRoles") : row.grants.map(grantText).join(", ")) },
                { key: "state", title: t("token.state"), cell: (row) => <Badge tone={row.disabled ? "bad" : "good"}>{t(row.disabled ? "people.disabled" : "people.enabled")}</Badge> },
                {
                  key: "edit",
                  title: t("providers.actions"),
                  cell: (row) => (
                    <button type="button" onClick={() => setEdited(row)}>
                      {t("people.edit")}
                    </button>
                  ),
                },
              ]}
            />
          );
        }}
      </Loaded>
    </>
  );
}

function EditUser({ user, done }: { user: UserRow; done: () => void }) {
  const t = useT();
  const { change } = useSession();
  const { run, fault, busy } = useChange(["users", "audit"]);
  const platform = user.grants.filter((grant) => grant.scope === "platform").map((grant) => grant.role);
  const elsewhere = user.grants.filter((grant) => grant.scope !== "platform");
  const [roles, setRoles] = useState(platform);
  const [why, setWhy] = useState("");
  const [touched, setTouched] = useState(false);
  const act = (path: string, body: object) => {
    setTouched(true);
    if (why.trim() === "") return;
    void run(async () => {
      await change("PUT", `/api/v1/users/${encodeURIComponent(user.id)}/${path}`, { ...body, why: why.trim() });
      done();
    });
  };
  return (
    <section className="card stack">
      <h2>{t("people.of", { name: user.name ?? user.wallets[0] ?? user.id })}</h2>
      <RoleBoxes roles={roles} set={setRoles} />
      {elsewhere.length > 0 ? <p className="quiet small">{elsewhere.map(grantText).join(", ")}</p> : null}
      <Field label={t("people.why")} value={why} fault={touched && why.trim() === "" ? t("people.needWhy") : null} onChange={(event) => setWhy(event.target.value)} />
      <Fault text={fault} />
      <div className="row">
        <button type="button" className="primary" disabled={busy} onClick={() => act("grants", { grants: [...grantsOf(roles), ...elsewhere] })}>
          {t("people.save")}
        </button>
        <button type="button" disabled={busy} onClick={() => act("disabled", { disabled: !user.disabled })}>
          {t(user.disabled ? "people.enable" : "people.disable")}
        </button>
        <button type="button" onClick={done}>
          {t("people.cancel")}
        </button>
      </div>
    </section>
  );
}

interface AuditRow {
  seq: number;
  at_ms: number;
  hash: string;
  entry: Record<string, unknown>;
}

/** Fields that have a column of their own. */
const SHOWN = new Set(["actor", "by", "who", "action", "what", "on"]);

export function Audit() {
  const t = useT();
  return (
    <>
      <Heading title={t("nav.audit")} lead={t("audit.lead")} />
      <Signed>
        <AuditList />
      </Signed>
    </>
  );
}

const asText = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

function AuditList() {
  const t = useT();
  const count = useCount();
  const trail = useInfiniteQuery({
    queryKey: ["signed", "audit"],
    queryFn: ({ signal, pageParam }) => getSigned<{ items: AuditRow[]; next_after: number | null }>("/api/v1/audit", { limit: 200, after: pageParam }, signal),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (last) => last.next_after ?? undefined,
  });
  return (
    <Loaded query={trail}>
      {(data) => {
        const rows = data.pages.flatMap((page) => page.items).reverse();
        const first = (row: AuditRow, keys: string[]) => keys.map((key) => row.entry[key]).find((value) => value !== undefined && value !== null);
        return rows.length === 0 ? (
          <Empty>{t("state.none")}</Empty>
        ) : (
          <Table
            caption={t("nav.audit")}
            rows={rows}
            rowKey={(row) => String(row.seq)}
            more={{ available: trail.hasNextPage, loading: trail.isFetchingNextPage, load: () => void trail.fetchNextPage() }}
            columns={[
              { key: "seq", title: t("audit.number"), numeric: true, cell: (row) => count(row.seq) },
              { key: "when", title: t("events.when"), cell: (row) => <Age at={row.at_ms} /> },
              { key: "who", title: t("audit.who"), cell: (row) => asText(first(row, ["who", "actor", "by"]) ?? "–") },
              { key: "what", title: t("audit.what"), cell: (row) => asText(first(row, ["what", "action"]) ?? "–") },
              {
                key: "entry",
                title: t("audit.entry"),
                className: "details",
                cell: (row) => (
                  <span className="small">
                    {Object.entries(row.entry)
                      .filter(([key, value]) => !SHOWN.has(key) && value !== null)
                      .map(([key, value]) => `${key} ${asText(value)}`)
                      .join(" · ")}
                  </span>
                ),
              },
              { key: "hash", title: t("audit.hash"), cell: (row) => <Hex value={`0x${row.hash.replace(/^0x/, "")}`} label="copy.hash" /> },
            ]}
          />
        );
      }}
    </Loaded>
  );
}

interface ProviderRow {
  chain_id: number;
  name: string;
  url: string;
  weight: number;
  breaker: string;
  drained: boolean;
  demoted: string | null;
  head: number | null;
  latency_ms: number;
  calls: number;
  failures: number;
  last_error: string | null;
}

interface Misdeed {
  chain_id: number;
  provider: string;
  misdeed: string;
  block: number;
  block_hash: string | null;
  /** Seconds. */
  at: number;
  detail: string;
}

/** Providers are judged by the second; older figures would mislead. */
const PROVIDERS_MS = 2_000;

export function Providers() {
  const t = useT();
  return (
    <>
      <Heading title={t("nav.providers")} lead={t("providers.lead")} />
      <Signed>
        <ProviderList />
        <Scorecard />
      </Signed>
    </>
  );
}

function ProviderList() {
  const t = useT();
  const count = useCount();
  const chainName = useChainName();
  const { change } = useSession();
  const { run, fault, busy } = useChange(["providers"]);
  const providers = useQuery({
    queryKey: ["signed", "providers"],
    queryFn: ({ signal }) => getSigned<{ items: ProviderRow[] }>("/api/v1/admin/providers", {}, signal),
    refetchInterval: PROVIDERS_MS,
  });
  return (
    <>
      <Fault text={fault} />
      <Loaded query={providers}>
        {({ items }) => (
          <Table
            caption={t("nav.providers")}
            rows={items}
            rowKey={(row) => `${row.chain_id}:${row.name}`}
            columns={[
              { key: "name", title: t("token.name"), cell: (row) => <span title={row.url}>{row.name}</span> },
              { key: "chain", title: t("token.chain"), cell: (row) => chainName(row.chain_id) },
              {
                key: "state",
                title: t("providers.breaker"),
                cell: (row) =>
                  row.drained ? (
                    <Badge tone="warn">{t("providers.drained")}</Badge>
                  ) : row.demoted ? (
                    <Badge tone="bad">{t("providers.demoted", { why: row.demoted })}</Badge>
                  ) : (
                    <Badge tone={row.breaker === "closed" ? "good" : "bad"}>{row.breaker}</Badge>
                  ),
              },
              { key: "head", title: t("overview.head"), numeric: true, cell: (row) => (row.head === null ? "–" : count(row.head)) },
              { key: "latency", title: t("providers.latency"), numeric: true, cell: (row) => `${row.latency_ms.toFixed(1)} ms` },
              { key: "calls", title: t("providers.calls"), numeric: true, cell: (row) => count(row.calls) },
              { key: "failures", title: t("providers.failures"), numeric: true, cell: (row) => <span title={row.last_error ?? undefined}>{count(row.failures)}</span> },
              { key: "weight", title: t("providers.weight"), numeric: true, cell: (row) => row.weight },
              {
                key: "act",
                title: t("providers.actions"),
                cell: (row) => (
                  <button
                    type="button"
                    disabled={busy}
                    onClick={() => void run(() => change("POST", `/api/v1/admin/providers/${row.chain_id}/${encodeURIComponent(row.name)}/${row.drained ? "enable" : "drain"}`))}
                  >
                    {t(row.drained ? "providers.enable" : "providers.drain")}
                  </button>
                ),
              },
            ]}
          />
        )}
      </Loaded>
    </>
  );
}

function Scorecard() {
  const t = useT();
  const count = useCount();
  const scorecard = useQuery({
    queryKey: ["signed", "scorecard"],
    queryFn: ({ signal }) => getSigned<{ items: Misdeed[] }>("/api/v1/admin/providers/scorecard", {}, signal),
    refetchInterval: PROVIDERS_MS,
  });
  return (
    <section className="stack">
      <h2>{t("providers.scorecard")}</h2>
      <Loaded query={scorecard}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty>{t("providers.clean")}</Empty>
          ) : (
            <Table
              caption={t("providers.scorecard")}
              rows={items}
              rowKey={(row) => `${row.chain_id}:${row.provider}:${row.misdeed}:${row.block}:${row.at}`}
              columns={[
                { key: "provider", title: t("token.name"), cell: (row) => row.provider },
                { key: "misdeed", title: t("providers.misdeed"), cell: (row) => row.misdeed },
                { key: "block", title: t("events.block"), numeric: true, cell: (row) => count(row.block) },
                { key: "when", title: t("events.when"), cell: (row) => <Age at={row.at * 1000} /> },
                { key: "detail", title: t("overview.detail"), className: "details", cell: (row) => row.detail },
              ]}
            />
          )
        }
      </Loaded>
    </section>
  );
}
