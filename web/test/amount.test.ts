import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { basisPoints, formatAmount, parseAmount, type Language } from "../src/lib/amount";

const languages: Language[] = ["en", "pt-BR"];
const uint256 = fc.bigInt({ min: 0n, max: (1n << 256n) - 1n });

describe("amounts", () => {
  it("read back as what was written, in both languages", () => {
    fc.assert(
      fc.property(uint256, fc.integer({ min: 0, max: 36 }), fc.constantFrom(...languages), (value, decimals, language) => {
        expect(parseAmount(formatAmount(value, decimals, language), decimals, language)).toEqual({ ok: true, value });
      }),
    );
  });

  it("are never shown larger than they are", () => {
    fc.assert(
      fc.property(uint256, fc.integer({ min: 0, max: 18 }), fc.integer({ min: 0, max: 6 }), (value, decimals, places) => {
        const shown = parseAmount(formatAmount(value, decimals, "en", places), decimals, "en");
        expect(shown.ok && shown.value <= value).toBe(true);
      }),
    );
  });

  it("have the marks of the language", () => {
    expect(formatAmount(123456n, 2, "en")).toBe("1,234.56");
    expect(formatAmount(123456n, 2, "pt-BR")).toBe("1.234,56");
    expect(formatAmount(9007199254740993n, 0, "en")).toBe("9,007,199,254,740,993");
    expect(formatAmount(-5n, 1, "en")).toBe("-0.5");
    expect(formatAmount(1n, 18, "en", 4)).toBe("0");
  });

  it("are refused rather than guessed", () => {
    expect(parseAmount("1.5", 6, "pt-BR")).toEqual({ ok: false, why: "not a number" });
    expect(parseAmount("1,5", 6, "en")).toEqual({ ok: false, why: "not a number" });
    expect(parseAmount("1.234", 6, "pt-BR")).toEqual({ ok: true, value: 1234000000n });
    expect(parseAmount("0.1234567", 6, "en")).toEqual({ ok: false, why: "too precise" });
    expect(parseAmount("0.1000000", 1, "en")).toEqual({ ok: true, value: 1n });
    expect(parseAmount("", 6, "en")).toEqual({ ok: false, why: "empty" });
    expect(parseAmount(".", 6, "en")).toEqual({ ok: false, why: "not a number" });
    expect(parseAmount("1e9", 6, "en")).toEqual({ ok: false, why: "not a number" });
    expect(parseAmount("-1", 6, "en")).toEqual({ ok: false, why: "not a number" });
    expect(parseAmount("9".repeat(79), 0, "en")).toEqual({ ok: false, why: "too large" });
    expect(parseAmount((1n << 256n).toString(), 0, "en")).toEqual({ ok: false, why: "too large" });
  });

  it("make shares without a float", () => {
    expect(basisPoints(1n, 3n)).toBe(3333);
    expect(basisPoints(1n, 0n)).toBe(0);
  });
});
