import { describe, expect, it } from "vitest";
import { checksummed, mistyped } from "../src/lib/checksum";
import { isAddress, lookAlike, same, short } from "../src/lib/address";

const mine = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc";
const forged = "0x9965aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaA4dc";

describe("addresses", () => {
  it("that imitate a known one are named", () => {
    expect(lookAlike(forged, [mine])).toBe(mine);
    expect(lookAlike(mine.toLowerCase(), [mine])).toBeNull();
    expect(lookAlike(forged, [mine, forged])).toBeNull();
    expect(lookAlike("0x1111aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2222", [mine])).toBeNull();
  });
  it("with a typing error are found by their check sum", () => {
    // Vectors of EIP-55.
    for (const good of ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359", mine]) {
      expect(checksummed(good.toLowerCase())).toBe(good);
      expect(mistyped(good)).toBe(false);
    }
    expect(mistyped("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD")).toBe(true);
    expect(mistyped(mine.toLowerCase())).toBe(false);
  });
  it("are told from other text", () => {
    expect(isAddress(mine)).toBe(true);
    expect(isAddress(`${mine}0`)).toBe(false);
    expect(same(mine, mine.toLowerCase())).toBe(true);
    expect(short(mine)).toBe("0x996550…B0A4dc");
  });
});
