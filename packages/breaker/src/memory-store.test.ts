import { TestClock } from "@holdfast/testkit";
import type { ClusterRecord } from "./cluster-state.ts";
import { memoryStoreOver } from "./memory-store.ts";
import { storeConformance } from "./testing/store-conformance.ts";

storeConformance("memory", () => {
  const clock = new TestClock();
  const records = new Map<string, ClusterRecord>();
  const store = memoryStoreOver(records, clock);
  return Promise.resolve({
    connect: () => Promise.resolve(store),
    setClock: (nowMs) => Promise.resolve(clock.jumpWall(nowMs - clock.now())),
    lose: () => Promise.resolve(records.clear()),
    makeForeign(id) {
      records.get(id)!.schema = 2;
      return Promise.resolve();
    },
    close: () => store.close(),
  });
});
