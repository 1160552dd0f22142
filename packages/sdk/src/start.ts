import type { Holdfast } from "./holdfast.ts";
import type { HoldfastOptions } from "./options.ts";

export function holdfast(options: HoldfastOptions = {}): Promise<Holdfast> {
  return Promise.reject(new Error(`not started: ${options.service}`));
}
