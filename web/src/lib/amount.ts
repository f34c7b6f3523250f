// Amounts are bigint in the smallest unit, decimal strings on the wire, and never a float. One
// formatter and one parser for both languages: `1.234,56` in pt-BR, `1,234.56` in English.

export type Language = "en" | "pt-BR";

interface Marks {
  group: string;
  decimal: string;
}

const MARKS: Record<Language, Marks> = { en: { group: ",", decimal: "." }, "pt-BR": { group: ".", decimal: "," } };

/** The most digits that a uint256 has; more is a mistake, not an amount. */
const DIGITS_MAX = 78;

/** Thousands separated; `digits` holds ASCII digits only. */
function grouped(digits: string, group: string): string {
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, group);
}

/**
 * An amount in the smallest unit as text. All digits are kept unless `places` cuts them, and what is
 * cut is cut towards zero: a balance is never shown larger than it is.
 */
export function formatAmount(value: bigint, decimals: number, language: Language, places?: number): string {
  const marks = MARKS[language];
  const negative = value < 0n;
  const digits = (negative ? -value : value).toString().padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  let fraction = decimals === 0 ? "" : digits.slice(digits.length - decimals).replace(/0+$/, "");
  if (places !== undefined) fraction = fraction.slice(0, places).replace(/0+$/, "");
  const shown = grouped(whole, marks.group) + (fraction === "" ? "" : marks.decimal + fraction);
  return negative && /[1-9]/.test(shown) ? `-${shown}` : shown;
}

export type Parsed = { ok: true; value: bigint } | { ok: false; why: "empty" | "not a number" | "too precise" | "too large" };

/**
 * What a person typed as an amount in the smallest unit. Groups, where written, must be groups of
 * three: `1.5` is not fifteen in pt-BR but a fault, because guessing between the two loses money.
 */
export function parseAmount(text: string, decimals: number, language: Language): Parsed {
  const { group, decimal } = MARKS[language];
  const trimmed = text.trim();
  if (trimmed === "") return { ok: false, why: "empty" };
  const [whole = "", fraction, ...rest] = trimmed.split(decimal);
  if (rest.length > 0 || !/^\d*$/.test(fraction ?? "")) return { ok: false, why: "not a number" };
  const groups = whole.split(group);
  const plain = groups.length === 1 ? /^\d*$/.test(whole) : /^\d{1,3}$/.test(groups[0] ?? "") && groups.slice(1).every((g) => /^\d{3}$/.test(g));
  if (!plain || (whole === "" && (fraction ?? "") === "")) return { ok: false, why: "not a number" };
  const precise = (fraction ?? "").replace(/0+$/, "");
  if (precise.length > decimals) return { ok: false, why: "too precise" };
  const digits = groups.join("") + precise.padEnd(decimals, "0");
  if (digits.replace(/^0+/, "").length > DIGITS_MAX) return { ok: false, why: "too large" };
  const value = BigInt(digits === "" ? "0" : digits);
  return value >= 1n << 256n ? { ok: false, why: "too large" } : { ok: true, value };
}

/** Part of a whole in hundredths of a percent, cut: 10,000 is all. */
export function basisPoints(part: bigint, whole: bigint): number {
  return whole === 0n ? 0 : Number((part * 10_000n) / whole);
}

/** Hundredths of a percent as text. */
export function formatShare(points: number, language: Language): string {
  return new Intl.NumberFormat(language, { style: "percent", minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(points / 10_000);
}
