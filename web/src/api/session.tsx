// Who is signed in: a wallet's signature (EIP-4361) buys a session that lives in cookies no script can read.
import { useQueryClient } from "@tanstack/react-query";
import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from "react";
import { translate } from "../i18n";
import type { Provider } from "../wallet";
import { Failure, get, problem } from "./client";

export type Scope = "platform" | { issuer: string } | { token: string };
export interface Grant {
  role: string;
  scope: Scope;
}
export interface Me {
  user: string;
  name: string | null;
  wallets: string[];
  grants: Grant[];
  session: string | null;
}

interface Tokens {
  csrf_token: string | null;
}
interface Nonce {
  nonce: string;
  expires_in: number;
  origin: string;
}

export type SessionState = { is: "unknown" } | { is: "out" } | { is: "in"; me: Me };

export interface SessionHandle {
  state: SessionState;
  signIn: (provider: Provider, account: string, chain: number) => Promise<void>;
  signOut: () => Promise<void>;
  /** A change under the session: with its CSRF token, and a key that makes a repeat harmless. */
  change: <T>(method: "POST" | "PUT" | "DELETE", path: string, body?: unknown) => Promise<T>;
}

const CSRF = "rwahub.csrf";
const Context = createContext<SessionHandle | null>(null);

export function useSession(): SessionHandle {
  const value = useContext(Context);
  if (!value) throw new Error("a SessionProvider is missing above");
  return value;
}

async function post<T>(method: string, path: string, body: unknown, headers: Record<string, string> = {}): Promise<T> {
  const response = await fetch(path, {
    method,
    headers: { "content-type": "application/json", accept: "application/json", "accept-language": document.documentElement.lang, ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw await problem(response);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** What the wallet shows and signs. Every line stands where EIP-4361 puts it. */
export function signInMessage(given: { origin: string; account: string; chain: number; nonce: string; statement: string; now: Date; seconds: number }): string {
  const until = new Date(given.now.getTime() + given.seconds * 1000);
  return [
    `${new URL(given.origin).host} wants you to sign in with your Ethereum account:`,
    given.account,
    "",
    given.statement,
    "",
    `URI: ${given.origin}`,
    "Version: 1",
    `Chain ID: ${given.chain}`,
    `Nonce: ${given.nonce}`,
    `Issued At: ${given.now.toISOString()}`,
    `Expiration Time: ${until.toISOString()}`,
  ].join("\n");
}

const hex = (text: string) => `0x${[...new TextEncoder().encode(text)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;

/** Renews the session from its cookie; true if there is one. One renewal at a time: a refresh token is good once. */
let renewing: Promise<boolean> | null = null;
function renew(): Promise<boolean> {
  renewing ??= post<Tokens>("POST", "/auth/refresh", {})
    .then((tokens) => {
      if (tokens.csrf_token) sessionStorage.setItem(CSRF, tokens.csrf_token);
      return true;
    })
    .catch((error: unknown) => {
      if (error instanceof Failure && !error.passes) return false;
      throw error;
    })
    .finally(() => {
      renewing = null;
    });
  return renewing;
}

/** Asks, and asks once more with a renewed session if the access token has run out. */
async function renewed<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof Failure) || error.status !== 401 || !(await renew())) throw error;
    return ask();
  }
}

/** A read that needs a session. */
export const getSigned = <T,>(path: string, query?: Record<string, string | number | null | undefined>, signal?: AbortSignal) =>
  renewed(() => get<T>(path, query, signal));

/** Only a browser that signed in before asks who it is: nobody else has a cookie to ask with. */
const SIGNED_IN = "rwahub.signed-in";

export function SessionProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [state, setState] = useState<SessionState>(() => (localStorage.getItem(SIGNED_IN) ? { is: "unknown" } : { is: "out" }));

  const enter = useCallback(async () => {
    try {
      const me = await getSigned<Me>("/auth/me");
      localStorage.setItem(SIGNED_IN, "yes");
      setState({ is: "in", me });
    } catch (error) {
      if (!(error instanceof Failure) || error.passes) throw error;
      localStorage.removeItem(SIGNED_IN);
      setState({ is: "out" });
    }
  }, []);
  useEffect(() => {
    if (localStorage.getItem(SIGNED_IN)) enter().catch(() => setState({ is: "out" }));
  }, [enter]);

  const signIn = useCallback(
    async (provider: Provider, account: string, chain: number) => {
      const [{ nonce, expires_in, origin }, { checksummed }] = await Promise.all([post<Nonce>("POST", "/auth/nonce", undefined), import("../lib/checksum")]);
      // The statement must be ASCII, which is why it is English in both languages' wallets.
      const statement = translate("en", "session.statement");
      const message = signInMessage({ origin, account: checksummed(account), chain, nonce, statement, now: new Date(), seconds: expires_in });
      const signature = (await provider.request({ method: "personal_sign", params: [hex(message), account] })) as string;
      const tokens = await post<Tokens>("POST", "/auth/verify", { message, signature, cookie: true });
      if (tokens.csrf_token) sessionStorage.setItem(CSRF, tokens.csrf_token);
      await enter();
    },
    [enter],
  );
  const change = useCallback(<T,>(method: "POST" | "PUT" | "DELETE", path: string, body?: unknown) => {
    // The same for both tries, so that a repeat has one effect.
    const key = crypto.randomUUID();
    return renewed(async () => {
      if (!sessionStorage.getItem(CSRF)) await renew();
      return post<T>(method, path, body, { "x-csrf-token": sessionStorage.getItem(CSRF) ?? "", "idempotency-key": key });
    });
  }, []);
  const signOut = useCallback(async () => {
    await change("POST", "/auth/logout").catch((error: unknown) => {
      if (!(error instanceof Failure) || error.passes) throw error;
    });
    localStorage.removeItem(SIGNED_IN);
    sessionStorage.removeItem(CSRF);
    client.removeQueries({ predicate: (query) => query.queryKey[0] === "signed" });
    setState({ is: "out" });
  }, [change, client]);

  const value = useMemo<SessionHandle>(() => ({ state, signIn, signOut, change }), [state, signIn, signOut, change]);
  return <Context value={value}>{children}</Context>;
}
