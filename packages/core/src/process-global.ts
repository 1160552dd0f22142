/**
 * State that must exist once in a process, also when two copies of a package are installed in it.
 *
 * @param name what it is, for example "breaker-registry"
 * @param version of its shape: copies that differ in it do not share
 */
export function processGlobal<T extends object>(name: string, version: number, make: () => T): T {
  const key = Symbol.for(`holdfast.${name}/${version}`);
  const holder = globalThis as unknown as Record<symbol, T | undefined>;
  holder[key] ??= make();
  return holder[key];
}
