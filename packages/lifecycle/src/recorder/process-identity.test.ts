import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { lifeSign, ownIdentity, type ProcessIdentity, startTicksOf } from "./process-identity.ts";

const own = ownIdentity();
const elsewhere: ProcessIdentity = { ...own, pidNamespace: "pid:[1]" };

describe("life sign", () => {
  it("says of a living process that it lives, however long it was silent", () => {
    expect(lifeSign(own, own, 3_600_000, 1_000)).toBe("alive");
  });

  it("is not fooled by a pid that another process has now", () => {
    expect(lifeSign({ ...own, startTicks: own.startTicks! - 1 }, own, 0, 1_000)).toBe("dead");
  });

  it("asks for silence where processes are counted elsewhere: in a container all are pid 1", () => {
    const other = { ...elsewhere, pid: 1 };
    expect(lifeSign(other, { ...own, pid: 1 }, 999, 1_000)).toBe("unknown");
    expect(lifeSign(other, { ...own, pid: 1 }, 1_000, 1_000)).toBe("dead");
  });

  it("asks for silence after a restart of the kernel, and where there is no /proc", () => {
    expect(lifeSign({ ...own, bootId: "another" }, own, 0, 1_000)).toBe("unknown");
    const blind = { pid: 7, bootId: null, pidNamespace: null, startTicks: null };
    expect(lifeSign(blind, blind, 0, 1_000)).toBe("unknown");
  });

  it("knows the start time of a real process, and none of one that has ended", async () => {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
    await once(child, "spawn");
    expect(startTicksOf(child.pid!)).toBeGreaterThanOrEqual(own.startTicks!);
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
    expect(startTicksOf(child.pid!)).toBeNull();
  });
});
