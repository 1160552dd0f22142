import { memoryOverrideStore } from "./memory-override-store.ts";
import { describeOverrideStore } from "./testing/override-store-conformance.ts";

describeOverrideStore("memory", async () => {
  const store = memoryOverrideStore();
  // There is no other process to open it from; closing the one end must not close the other.
  const open = () => {
    const stops: (() => void)[] = [];
    return {
      read: store.read.bind(store),
      write: store.write.bind(store),
      watch: (...args: Parameters<typeof store.watch>) => {
        const stop = store.watch(...args);
        stops.push(stop);
        return stop;
      },
      close: async () => {
        for (const stop of stops) stop();
      },
      [Symbol.asyncDispose]: async () => {},
    };
  };
  return { open, plant: null, close: () => store.close() };
});
