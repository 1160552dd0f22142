import { createRequire, registerHooks, syncBuiltinESMExports } from "node:module";
import { sep } from "node:path";

/** The packages that instrumentations patch, besides Node's own modules. */
const PATCHED = ["@grpc/grpc-js", "pg", "pg-pool"] as const;

const require = createRequire(import.meta.url);

/**
 * Has what is already loaded patched. Instrumentations hook `require`, and a module that was loaded before them, or by a
 * static import, was never required: it is asked for once more here. Their patches sit on prototypes and on the exports
 * object, so whoever holds either sees them; only a function that was copied out before (`const { request } =
 * require("http")`, `import * as grpc`) stays as it was.
 */
export function patchLoadedModules(): void {
  for (const name of ["node:http", "node:https"]) require(name);
  const folders = PATCHED.map((name) => `${sep}node_modules${sep}${name.replaceAll("/", sep)}${sep}`);
  for (const file of Object.keys(require.cache))
    if (folders.some((folder) => file.includes(folder)) && require.cache[file]?.loaded) requireQuietly(require, file);
  // `import { request } from "node:http"` is a copy that Node brings up to date on demand.
  syncBuiltinESMExports();
}

/**
 * Has what is imported from now on patched. An import of a CommonJS package passes the hooks of `require` by and copies
 * its exports; requiring it first, in the moment its name is resolved, patches it before the copy is made.
 */
export function patchModulesToCome(): void {
  const names: ReadonlySet<string> = new Set(PATCHED);
  const seen = new Set<string>();
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const resolved = nextResolve(specifier, context);
      if (names.has(specifier) && context.parentURL?.startsWith("file:") && !seen.has(resolved.url)) {
        seen.add(resolved.url);
        requireQuietly(createRequire(context.parentURL), specifier);
      }
      return resolved;
    },
  });
}

/** A module that cannot be loaded says so to whoever loads it, not to us. */
function requireQuietly(from: NodeJS.Require, id: string): void {
  try {
    from(id);
  } catch {}
}
