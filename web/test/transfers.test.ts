import { describe, expect, it } from "vitest";
import { stage } from "../src/market/transfers";

const receipt = { blockNumber: "0x10", status: "0x1" };

describe("a transfer under way", () => {
  it("goes from pending to final as node and index say", () => {
    expect(stage(null, 20, 10)).toEqual({ at: "pending" });
    expect(stage(receipt, 15, 10)).toEqual({ at: "mined", block: 16 });
    expect(stage(receipt, 16, 10)).toEqual({ at: "indexed", block: 16 });
    expect(stage(receipt, 20, 16)).toEqual({ at: "final", block: 16 });
    expect(stage(receipt, null, null)).toEqual({ at: "mined", block: 16 });
  });
  it("that the chain refused is never called final", () => {
    expect(stage({ ...receipt, status: "0x0" }, 99, 99)).toEqual({ at: "reverted", block: 16 });
  });
});
