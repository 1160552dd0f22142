import { Agent, FormData as UndiciFormData, type RequestInit as UndiciRequestInit, fetch as undiciFetch } from "undici";
import type { HttpFetch } from "./options.ts";

/** undici's fetch on a connection pool of its own. */
export interface UndiciTransport {
  readonly fetch: HttpFetch;
  /** Waits for requests in flight. */
  close(): Promise<void>;
  /** Breaks requests in flight. */
  destroy(): Promise<void>;
}

export function undiciTransport(): UndiciTransport {
  const agent = new Agent();
  return {
    fetch(url, init) {
      const { body, ...rest } = init;
      const own = { dispatcher: agent, ...rest, body: body instanceof FormData ? ownFormData(body) : body };
      return undiciFetch(url, own as UndiciRequestInit) as unknown as Promise<Response>;
    },
    close: () => agent.close(),
    destroy: () => agent.destroy(),
  };
}

/** npm's undici knows only its own FormData; the global one would be sent as the text "[object FormData]". */
function ownFormData(form: FormData): UndiciFormData {
  const own = new UndiciFormData();
  for (const [name, value] of form) {
    if (typeof value === "string") own.append(name, value);
    else own.append(name, value, value.name);
  }
  return own;
}
