import { describe, expect, it } from "vitest";
import type { HubEvent } from "../src/api/client";
import { merged } from "../src/ui/events";

const event = (id: string, block: number, index: number, status = "observed") => ({ id, block_number: block, log_index: index, status }) as HubEvent;

describe("the live list", () => {
  it("has each event once, newest first, with the newer status", () => {
    const rows = merged([{ kind: "observed", event: event("b", 2, 0) }, { kind: "observed", event: event("a", 1, 1) }], [event("a", 1, 1, "finalized"), event("c", 1, 0)]);
    expect(rows.map((row) => [row.event.id, row.event.status])).toEqual([
      ["b", "observed"],
      ["a", "finalized"],
      ["c", "observed"],
    ]);
  });
  it("shows what a reorganisation took back as taken back, not as present", () => {
    const rows = merged([{ kind: "retracted", event: event("a", 1, 0) }, { kind: "observed", event: event("a", 1, 0) }], []);
    expect(rows.map((row) => row.kind)).toEqual(["retracted"]);
  });
});
