// The chosen language and its texts. Numbers and dates follow it too.
import { createContext, createElement, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from "react";
import type { Language } from "../lib/amount";
import { messages, type MessageKey } from "./messages";

export type { MessageKey } from "./messages";
export type Translate = (key: MessageKey, values?: Record<string, string | number>) => string;

export function translate(language: Language, key: MessageKey, values: Record<string, string | number> = {}): string {
  const text: string = messages[key][language === "en" ? 0 : 1];
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

interface Localised {
  language: Language;
  setLanguage: (language: Language) => void;
  t: Translate;
}

const Context = createContext<Localised | null>(null);
const STORED = "rwahub.language";

export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, set] = useState<Language>(() => (document.documentElement.lang === "pt-BR" ? "pt-BR" : "en"));
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const setLanguage = useCallback((next: Language) => {
    localStorage.setItem(STORED, next);
    set(next);
  }, []);
  const value = useMemo<Localised>(
    () => ({ language, setLanguage, t: (key, values) => translate(language, key, values) }),
    [language, setLanguage],
  );
  return createElement(Context, { value }, children);
}

export function useLanguage(): Localised {
  const value = useContext(Context);
  if (!value) throw new Error("a LanguageProvider is missing above");
  return value;
}

export const useT = () => useLanguage().t;

/** Whole numbers: block numbers, counts. */
export function useCount(): (value: number) => string {
  const { language } = useLanguage();
  return useMemo(() => {
    const format = new Intl.NumberFormat(language);
    return (value) => format.format(value);
  }, [language]);
}

/** A moment, in the reader's own time zone. */
export function useMoment(): (seconds: number) => string {
  const { language } = useLanguage();
  return useMemo(() => {
    const format = new Intl.DateTimeFormat(language, { dateStyle: "short", timeStyle: "medium" });
    return (seconds) => format.format(new Date(seconds * 1000));
  }, [language]);
}
