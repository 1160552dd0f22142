import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newestSlot, type Region, readSlots, SlotWriter } from "./slot-file.ts";

const region: Region = { offset: 16, slots: 4, slotBytes: 64 };
let folder: string;
let fd: number;
let writer: SlotWriter;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "holdfast-slots-"));
  fd = openSync(join(folder, "file"), "w+");
  writer = new SlotWriter(fd, 64);
});

afterEach(() => {
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

const bytes = (): Buffer => readFileSync(join(folder, "file"));

describe("slot file", () => {
  it("gives back what was written, and nothing of what was cleared", () => {
    writer.write(region, 0, { a: 1 });
    writer.write(region, 3, "ä€😀");
    writer.write(region, 2, "gone");
    writer.clear(region, 2);
    const { slots, damaged } = readSlots(bytes(), region);
    expect(slots.map(({ index, value }) => [index, value])).toEqual([
      [0, { a: 1 }],
      [3, "ä€😀"],
    ]);
    expect(damaged).toBe(0);
  });

  it("refuses what does not fit, counted in bytes, and leaves the slot as it was", () => {
    writer.write(region, 0, "before");
    expect(writer.write(region, 0, "x".repeat(50))).toBe(true);
    expect(writer.write(region, 0, "x".repeat(51))).toBe(false);
    expect(writer.write(region, 0, "€".repeat(17))).toBe(false);
    expect(readSlots(bytes(), region).slots[0]!.value).toBe("x".repeat(50));
  });

  it("tells the newest of values written by turns, also when the last write was torn", () => {
    const pair = { ...region, slots: 2 };
    for (const value of [1, 2, 3]) writer.writeNext(pair, value);
    const file = bytes();
    expect(newestSlot(readSlots(file, pair).slots)!.value).toBe(3);
    file[pair.offset + 12] = 0;
    const read = readSlots(file, pair);
    expect(newestSlot(read.slots)!.value).toBe(2);
    expect(read.damaged).toBe(1);
  });

  it("never throws and never invents a value, whatever became of the file", () => {
    writer.write(region, 0, { value: "the truth" });
    writer.write(region, 1, { value: "another truth" });
    const whole = bytes();
    const truths = ["the truth", "another truth"];
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })), { maxLength: 8 }),
        fc.nat(whole.length),
        (flips, length) => {
          const file = Buffer.from(whole.subarray(0, length));
          for (const [at, mask] of flips) if (at < file.length) file[at]! ^= mask;
          for (const { value } of readSlots(file, region).slots) {
            expect(truths).toContain((value as { value: string }).value);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
