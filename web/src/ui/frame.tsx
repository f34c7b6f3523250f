// What surrounds every page: navigation, connection state, settings; and the start of an entry.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode, Suspense, useEffect, useRef, useState, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { Link, Router, useLocation } from "wouter";
import { Failure } from "../api/client";
import { LiveProvider, useLive } from "../api/live";
import { LanguageProvider, useLanguage, useMoment, useT, type MessageKey } from "../i18n";
import { Badge, Loading, Segments } from "./parts";
import "./style.css";

/** A failed question is asked again this often before its failure is shown. */
const RETRIES = 2;

export function start(base: string, page: ReactNode): void {
  const client = new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 1_000,
        retry: (count, error) => count < RETRIES && error instanceof Failure && error.passes,
      },
    },
  });
  const root = document.getElementById("root");
  if (!root) throw new Error("the page has no #root");
  createRoot(root).render(
    <StrictMode>
      <LanguageProvider>
        <QueryClientProvider client={client}>
          <LiveProvider>
            <Router base={base}>{page}</Router>
          </LiveProvider>
        </QueryClientProvider>
      </LanguageProvider>
    </StrictMode>,
  );
}

export interface Place {
  path: string;
  label: MessageKey;
}

/** The place whose path is the longest beginning of where we are. */
function isHere(path: string, location: string): boolean {
  return path === "/" ? location === "/" : location === path || location.startsWith(`${path}/`);
}

function Links({ places }: { places: Place[] }) {
  const t = useT();
  const [location] = useLocation();
  return (
    <nav aria-label={t("nav.main")}>
      {places.map((place) => (
        <Link key={place.path} href={place.path} className="navlink" aria-current={isHere(place.path, location) ? "page" : undefined}>
          {t(place.label)}
        </Link>
      ))}
    </nav>
  );
}

function Connection() {
  const t = useT();
  const { link } = useLive();
  const tone = link === "live" ? "good" : link === "lost" ? "bad" : "warn";
  return (
    <span role="status">
      <Badge tone={tone}>
        <span className="dot" aria-hidden="true" />
        {t(`live.${link}`)}
      </Badge>
    </span>
  );
}

function LostBanner() {
  const t = useT();
  const moment = useMoment();
  const { link, heardAt } = useLive();
  const opened = useRef(Date.now());
  if (link !== "lost") return null;
  return (
    <div className="banner" role="alert">
      {t("live.banner", { time: moment((heardAt ?? opened.current) / 1000) })}
    </div>
  );
}

function Brand({ part }: { part: MessageKey }) {
  const t = useT();
  return (
    <Link href="/" className="brand">
      <img src="/assets/mark.svg" alt="" /> RWA Hub <span>{t(part)}</span>
    </Link>
  );
}

/** Moves the focus to a new page's heading, so that a screen reader says where it is. */
function Main({ children }: { children: ReactNode }) {
  const main = useRef<HTMLElement>(null);
  const [location] = useLocation();
  const first = useRef(true);
  useEffect(() => {
    if (first.current) first.current = false;
    else main.current?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [location]);
  return (
    <main id="content" ref={main} tabIndex={-1}>
      <Suspense fallback={<Loading />}>{children}</Suspense>
    </main>
  );
}

interface FrameProps {
  layout: "top" | "side";
  part: MessageKey;
  places: Place[];
  end?: ReactNode;
  children: ReactNode;
}

/** Navigation above (the market) or at the side (the dashboard). */
export function Frame({ layout, part, places, end, children }: FrameProps) {
  const t = useT();
  const Bar = layout === "side" ? "aside" : "header";
  return (
    <>
      <a className="skip" href="#content">
        {t("app.skip")}
      </a>
      <div className={layout}>
        <Bar>
          <Brand part={part} />
          <Links places={places} />
          <div className="end">
            <Connection />
            {end}
          </div>
        </Bar>
        <div>
          <LostBanner />
          <Main>{children}</Main>
        </div>
      </div>
    </>
  );
}

/** Title of the page, of the browser's tab, and what stands beside it. */
export function Heading({ title, lead, children }: { title: string; lead?: string; children?: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · RWA Hub`;
  }, [title]);
  return (
    <div className="head">
      <h1>{title}</h1>
      {children}
      {lead ? <p>{lead}</p> : null}
    </div>
  );
}

type Theme = "system" | "light" | "dark";
const THEME = "rwahub.theme";

export function Settings() {
  const { t, language, setLanguage } = useLanguage();
  const [theme, setTheme] = useState<Theme>(() => (localStorage.getItem(THEME) as Theme | null) ?? "system");
  const choose = (next: Theme) => {
    setTheme(next);
    if (next === "system") {
      localStorage.removeItem(THEME);
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem(THEME, next);
      document.documentElement.dataset.theme = next;
    }
  };
  return (
    <>
      <Heading title={t("settings.title")} lead={t("settings.kept")} />
      <section className="card stack">
        <Segments
          legend={t("settings.language")}
          value={language}
          options={[
            ["en", "English"],
            ["pt-BR", "Português (Brasil)"],
          ]}
          onChange={setLanguage}
        />
        <Segments
          legend={t("settings.theme")}
          value={theme}
          options={[
            ["system", t("settings.theme.system")],
            ["light", t("settings.theme.light")],
            ["dark", t("settings.theme.dark")],
          ]}
          onChange={choose}
        />
      </section>
    </>
  );
}

export function NotFound() {
  const t = useT();
  return <Heading title={t("state.notFound")} />;
}
