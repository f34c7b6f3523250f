// The small parts that every screen is made of: addresses, amounts, ages, states of a query.
import { useEffect, useId, useState, type ReactNode } from "react";
import { Failure } from "../api/client";
import { useLanguage, useMoment, useT, type MessageKey } from "../i18n";
import { formatAmount } from "../lib/amount";
import { short } from "../lib/address";

/** Seconds since a moment as words. `Math.max`: another machine's clock may run ahead. */
export function ageWords(t: ReturnType<typeof useT>, at: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - at) / 1000));
  const steps: [number, number, MessageKey][] = [
    [60, 1, "age.seconds"],
    [3_600, 60, "age.minutes"],
    [86_400, 3_600, "age.hours"],
    [Infinity, 86_400, "age.days"],
  ];
  if (seconds < 2) return t("age.now");
  const [, unit, key] = steps.find(([below]) => seconds < below) ?? steps[3]!;
  return t(key, { n: Math.floor(seconds / unit) });
}

/** Once a second; ages on the screen stay true without new data. */
export function useNow(): number {
  const [now, set] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** How old something is, the exact moment on hover. `at` in milliseconds. */
export function Age({ at }: { at: number }) {
  const t = useT();
  const moment = useMoment();
  const now = useNow();
  return (
    <time dateTime={new Date(at).toISOString()} title={moment(at / 1000)}>
      {ageWords(t, at, now)}
    </time>
  );
}

export function Updated({ at }: { at: number }) {
  const t = useT();
  const now = useNow();
  if (at === 0) return null;
  return <span className="quiet small">{t("age.updated", { age: ageWords(t, at, now) })}</span>;
}

/** Drawn, because few fonts have the sign. */
function CopyMark({ done }: { done: boolean }) {
  return (
    <svg className="mark" viewBox="0 0 16 16" aria-hidden="true">
      {done ? <path d="M3 8.5 6.5 12 13 4.5" /> : <path d="M5.5 5.5h7v7h-7zM10.5 5.5v-2h-7v7h2" />}
    </svg>
  );
}

/** An address or hash: short to read, whole to copy. */
export function Hex({ value, href, full, label }: { value: string; href?: string; full?: boolean; label?: "copy.address" | "copy.hash" }) {
  const t = useT();
  const [copied, setCopied] = useState(false);
  const text = full ? value : short(value);
  const copy = async () => {
    await navigator.clipboard.writeText(value);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <span className="addr">
      {href ? (
        <a href={href} title={value} className={full ? "mono full" : "mono"}>
          {text}
        </a>
      ) : (
        <span title={value} className={full ? "mono full" : "mono"}>
          {text}
        </span>
      )}
      <button type="button" className="bare" onClick={() => void copy()} aria-label={t(label ?? "copy.address", { address: value, hash: value })}>
        <CopyMark done={copied} />
      </button>
      <span role="status" className="sr">
        {copied ? t("copy.done") : ""}
      </span>
    </span>
  );
}

/** An amount in the smallest unit. Without known decimals it is shown in that unit. */
export function Amount({ value, decimals, symbol, places }: { value: string | bigint; decimals: number | null | undefined; symbol?: string | null; places?: number }) {
  const { language } = useLanguage();
  const exact = formatAmount(BigInt(value), decimals ?? 0, language);
  const shown = places === undefined ? exact : formatAmount(BigInt(value), decimals ?? 0, language, places);
  return (
    <span title={shown === exact ? undefined : exact}>
      {shown}
      {symbol ? ` ${symbol}` : ""}
    </span>
  );
}

export function Badge({ tone, children }: { tone?: "good" | "warn" | "bad"; children: ReactNode }) {
  return <span className={tone ? `badge ${tone}` : "badge"}>{children}</span>;
}

export function Loading() {
  const t = useT();
  return (
    <div className="wait" role="status">
      <span className="sr">{t("state.loading")}</span>
      <i />
      <i />
      <i />
    </div>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="empty">{children}</p>;
}

export function FailureBox({ error, retry }: { error: Error; retry?: () => void }) {
  const t = useT();
  return (
    <div className="failure" role="alert">
      <strong>{t("state.error")}</strong>
      <span>{error.message}</span>
      {error instanceof Failure && error.requestId ? <span className="quiet small mono">{t("state.request", { id: error.requestId })}</span> : null}
      {retry ? (
        <button type="button" onClick={retry}>
          {t("state.retry")}
        </button>
      ) : null}
    </div>
  );
}

interface Asked<T> {
  data: T | undefined;
  error: Error | null;
  isPending: boolean;
  refetch: () => unknown;
}

/** The states of a query; data that could not be renewed stays on screen, and says so. */
export function Loaded<T>({ query, children }: { query: Asked<T>; children: (data: T) => ReactNode }) {
  const t = useT();
  if (query.data === undefined) {
    return query.error ? <FailureBox error={query.error} retry={() => void query.refetch()} /> : <Loading />;
  }
  return (
    <>
      {query.error ? (
        <p className="verdict warn small" role="status">
          {t("live.stale", { why: query.error.message })}
        </p>
      ) : null}
      {children(query.data)}
    </>
  );
}

/** A labelled input with its fault. */
export function Field({
  label,
  fault,
  hint,
  ...input
}: { label: string; fault?: string | null; hint?: ReactNode } & React.InputHTMLAttributes<HTMLInputElement>) {
  const id = useId();
  const about = fault ? `${id}-fault` : hint ? `${id}-hint` : undefined;
  return (
    <div className="label">
      <label htmlFor={id}>{label}</label>
      <input id={id} aria-invalid={fault ? true : undefined} aria-describedby={about} autoComplete="off" spellCheck={false} {...input} />
      {hint && !fault ? <span id={`${id}-hint`}>{hint}</span> : null}
      {fault ? (
        <span id={`${id}-fault`} className="fault">
          {fault}
        </span>
      ) : null}
    </div>
  );
}

export function Segments<T extends string>({ legend, value, options, onChange }: { legend: string; value: T; options: [T, string][]; onChange: (value: T) => void }) {
  return (
    <fieldset>
      <legend>{legend}</legend>
      <div className="segments">
        {options.map(([key, text]) => (
          <button key={key} type="button" aria-pressed={key === value} onClick={() => onChange(key)}>
            {text}
          </button>
        ))}
      </div>
    </fieldset>
  );
}

/** Tabs with the keys that people expect: left, right, home, end. */
export function Tabs<T extends string>({ label, value, options, onChange, children }: { label: string; value: T; options: [T, string][]; onChange: (value: T) => void; children: ReactNode }) {
  const id = useId();
  const at = options.findIndex(([key]) => key === value);
  const move = (event: React.KeyboardEvent) => {
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: options.length - 1 }[event.key];
    const next = to === undefined ? undefined : options[(to + options.length) % options.length];
    if (!next) return;
    event.preventDefault();
    onChange(next[0]);
    document.getElementById(`${id}-${next[0]}`)?.focus();
  };
  return (
    <div className="stack">
      <div className="tabs" role="tablist" aria-label={label}>
        {options.map(([key, text]) => (
          <button
            key={key}
            id={`${id}-${key}`}
            type="button"
            role="tab"
            aria-selected={key === value}
            aria-controls={key === value ? `${id}-panel` : undefined}
            tabIndex={key === value ? 0 : -1}
            onClick={() => onChange(key)}
            onKeyDown={move}
          >
            {text}
          </button>
        ))}
      </div>
      <div id={`${id}-panel`} role="tabpanel" aria-labelledby={`${id}-${value}`} className="stack">
        {children}
      </div>
    </div>
  );
}
