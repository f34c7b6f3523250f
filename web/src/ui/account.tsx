// One's own account: roles, sessions, API keys. The same in both front ends.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { List } from "../api/client";
import { getSigned, useSession, type Grant } from "../api/session";
import { useMoment, useT } from "../i18n";
import { Heading } from "./frame";
import { Age, Badge, Empty, Field, Hex, Loaded } from "./parts";
import { Signed } from "./sign-in";
import { Table } from "./table";

interface SessionRow {
  id: string;
  wallet: string;
  chain_id: number;
  created_ms: number;
  expires_ms: number;
  ended_ms: number | null;
  ended_why: string | null;
}

interface KeyRow {
  id: string;
  name: string;
  scopes: string[];
  addresses: string[];
  created_ms: number;
  expires_ms: number;
  last_used_ms: number | null;
  revoked_ms: number | null;
}

/** A grant as one reads it: `auditor`, or `custodian (token 1:0x…)`. */
export function grantText({ role, scope }: Grant): string {
  if (scope === "platform") return role;
  const [kind, name] = Object.entries(scope)[0] ?? ["", ""];
  return `${role} (${kind} ${name})`;
}

/** A change, its fault, and the lists that it makes old. */
export function useChange(lists: string[]): { run: (what: () => Promise<unknown>) => Promise<void>; fault: string | null; busy: boolean } {
  const client = useQueryClient();
  const [fault, setFault] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const run = async (what: () => Promise<unknown>) => {
    setFault(null);
    setBusy(true);
    try {
      await what();
      await client.invalidateQueries({ predicate: (query) => query.queryKey[0] === "signed" && lists.includes(String(query.queryKey[1])) });
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return { run, fault, busy };
}

export function Fault({ text }: { text: string | null }) {
  return text ? (
    <p className="fault" role="alert">
      {text}
    </p>
  ) : null;
}

export function Account() {
  const t = useT();
  return (
    <>
      <Heading title={t("session.title")} lead={t("session.lead")} />
      <Signed>
        <Profile />
        <Sessions />
      </Signed>
    </>
  );
}

function Profile() {
  const t = useT();
  const { state } = useSession();
  if (state.is !== "in") return null;
  const { me } = state;
  return (
    <dl className="facts card">
      <dt>{t("session.user")}</dt>
      <dd>{me.name ?? <span className="mono">{me.user}</span>}</dd>
      <dt>{t("session.wallets")}</dt>
      <dd>
        {me.wallets.map((wallet) => (
          <Hex key={wallet} value={wallet} full />
        ))}
      </dd>
      <dt>{t("session.roles")}</dt>
      <dd>{me.grants.length === 0 ? t("session.noRoles") : me.grants.map(grantText).join(", ")}</dd>
    </dl>
  );
}

function Sessions() {
  const t = useT();
  const moment = useMoment();
  const { state, change } = useSession();
  const { run, fault, busy } = useChange(["sessions"]);
  const mine = state.is === "in" ? state.me.session : null;
  const sessions = useQuery({
    queryKey: ["signed", "sessions"],
    queryFn: ({ signal }) => getSigned<List<SessionRow>>("/auth/sessions", { limit: 100 }, signal),
  });
  return (
    <section className="stack">
      <h2>{t("session.sessions")}</h2>
      <Fault text={fault} />
      <Loaded query={sessions}>
        {({ items }) => (
          <Table
            caption={t("session.sessions")}
            rows={items}
            rowKey={(row) => row.id}
            columns={[
              { key: "wallet", title: t("people.wallet"), cell: (row) => <Hex value={row.wallet} /> },
              { key: "since", title: t("session.since"), cell: (row) => <Age at={row.created_ms} /> },
              { key: "until", title: t("session.until"), cell: (row) => moment(row.expires_ms / 1000) },
              {
                key: "state",
                title: t("token.state"),
                cell: (row) =>
                  row.ended_ms !== null ? <Badge>{t("session.ended")}</Badge> : <Badge tone="good">{row.id === mine ? t("session.this") : t("session.active")}</Badge>,
              },
              {
                key: "end",
                title: t("providers.actions"),
                cell: (row) =>
                  row.ended_ms !== null || row.id === mine ? (
                    "–"
                  ) : (
                    <button type="button" disabled={busy} onClick={() => void run(() => change("DELETE", `/auth/sessions/${encodeURIComponent(row.id)}`))}>
                      {t("session.end")}
                    </button>
                  ),
              },
            ]}
          />
        )}
      </Loaded>
    </section>
  );
}

/** Permissions that a key can be limited to, in the words of the daemon. */
const SCOPES = ["chain_read", "profile_read", "users_read", "audit_read", "providers_read", "approvals_read"];

export function Keys() {
  const t = useT();
  return (
    <>
      <Heading title={t("nav.keys")} lead={t("keys.lead")} />
      <Signed>
        <NewKey />
        <KeyList />
      </Signed>
    </>
  );
}

function NewKey() {
  const t = useT();
  const { change } = useSession();
  const { run, fault, busy } = useChange(["keys"]);
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<string[]>(["chain_read"]);
  const [addresses, setAddresses] = useState("");
  const [days, setDays] = useState("90");
  const [secret, setSecret] = useState<string | null>(null);
  const [touched, setTouched] = useState(false);
  const badDays = !/^\d{1,3}$/.test(days.trim()) || Number(days) < 1 || Number(days) > 366;
  const incomplete = name.trim() === "" || scopes.length === 0;
  const create = (event: React.FormEvent) => {
    event.preventDefault();
    setTouched(true);
    if (badDays || incomplete) return;
    void run(async () => {
      const list = addresses.split(",").map((one) => one.trim()).filter((one) => one !== "");
      const made = await change<{ key: string }>("POST", "/api/v1/keys", { name: name.trim(), scopes, addresses: list, expires_in_days: Number(days) });
      setSecret(made.key);
      setName("");
      setTouched(false);
    });
  };
  return (
    <form className="card stack" onSubmit={create} noValidate>
      <h2>{t("keys.new")}</h2>
      <div className="form">
        <Field label={t("token.name")} value={name} fault={touched && incomplete ? t("keys.needName") : null} onChange={(event) => setName(event.target.value)} />
        <Field label={t("keys.days")} inputMode="numeric" value={days} fault={touched && badDays ? t("keys.badDays") : null} onChange={(event) => setDays(event.target.value)} />
        <Field label={t("keys.addresses")} value={addresses} placeholder="203.0.113.0/24" onChange={(event) => setAddresses(event.target.value)} />
      </div>
      <fieldset>
        <legend>{t("keys.scopes")}</legend>
        <div className="row">
          {SCOPES.map((scope) => (
            <label key={scope} className="check">
              <input
                type="checkbox"
                checked={scopes.includes(scope)}
                onChange={(event) => setScopes(event.target.checked ? [...scopes, scope] : scopes.filter((one) => one !== scope))}
              />
              <code>{scope}</code>
            </label>
          ))}
        </div>
      </fieldset>
      <Fault text={fault} />
      {secret ? (
        <p role="status" className="verdict good">
          <span>
            {t("keys.once")} <Hex value={secret} full label="copy.hash" />
          </span>
        </p>
      ) : null}
      <div className="row">
        <button type="submit" className="primary" disabled={busy}>
          {t("keys.create")}
        </button>
      </div>
    </form>
  );
}

function KeyList() {
  const t = useT();
  const moment = useMoment();
  const { change } = useSession();
  const { run, fault, busy } = useChange(["keys"]);
  const keys = useQuery({ queryKey: ["signed", "keys"], queryFn: ({ signal }) => getSigned<List<KeyRow>>("/api/v1/keys", { limit: 100 }, signal) });
  return (
    <section className="stack">
      <Fault text={fault} />
      <Loaded query={keys}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty>{t("state.none")}</Empty>
          ) : (
            <Table
              caption={t("nav.keys")}
              rows={items}
              rowKey={(row) => row.id}
              columns={[
                { key: "name", title: t("token.name"), cell: (row) => row.name },
                { key: "scopes", title: t("keys.scopes"), className: "details", cell: (row) => row.scopes.join(", ") },
                { key: "used", title: t("keys.used"), cell: (row) => (row.last_used_ms === null ? t("keys.never") : <Age at={row.last_used_ms} />) },
                { key: "until", title: t("session.until"), cell: (row) => moment(row.expires_ms / 1000) },
                {
                  key: "end",
                  title: t("providers.actions"),
                  cell: (row) =>
                    row.revoked_ms !== null ? (
                      <Badge>{t("keys.revoked")}</Badge>
                    ) : (
                      <button type="button" disabled={busy} onClick={() => void run(() => change("DELETE", `/api/v1/keys/${encodeURIComponent(row.id)}`))}>
                        {t("session.end")}
                      </button>
                    ),
                },
              ]}
            />
          )
        }
      </Loaded>
    </section>
  );
}
