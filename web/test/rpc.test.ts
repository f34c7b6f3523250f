import { afterEach, describe, expect, it, vi } from "vitest";
import { owner, RpcFailure, simulate } from "../src/api/rpc";

const CONTRACT = `0x${"1".repeat(40)}`;
const answers = (error: object) => vi.stubGlobal("fetch", async () => ({ json: async () => ({ error }) }));

afterEach(() => vi.unstubAllGlobals());

describe("a call that fails", () => {
  it("is the contract's refusal when it reverted", async () => {
    answers({ code: 3, message: "execution reverted: paused", data: "0x" });
    expect(await simulate(1, CONTRACT, CONTRACT, "0x")).toEqual({ ok: false, reason: "execution reverted: paused" });
    answers({ code: -32000, message: "VM Exception while processing transaction: revert" });
    expect(await owner(1, CONTRACT)).toBeNull();
  });

  it("is nobody's refusal when a node failed: the verdict stays open", async () => {
    answers({ code: -32603, message: "no answer before the deadline" });
    await expect(simulate(1, CONTRACT, CONTRACT, "0x")).rejects.toBeInstanceOf(RpcFailure);
    await expect(owner(1, CONTRACT)).rejects.toBeInstanceOf(RpcFailure);
  });
});
