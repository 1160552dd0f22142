import { parseArgs } from "node:util";

export const roles = ["storefront", "payments", "ledger"] as const;
export type Role = (typeof roles)[number];

export interface Address {
  host: string;
  /** 0 takes any free port. */
  port: number;
}

export interface AdminConfig extends Address {
  token: string;
}

interface Common {
  listen: Address;
  /** Absent: there is no admin endpoint. */
  admin: AdminConfig | undefined;
}

export interface StorefrontConfig extends Common {
  role: "storefront";
  /** A gRPC target: `dns:///payments:50051`, `ipv4:10.0.0.1:50051,10.0.0.2:50051`. */
  paymentsAddress: string;
  /** Folder with svid.pem, svid_key.pem and bundle.pem. Absent: the hop to payments is plain. */
  mtlsDir: string | undefined;
}

export interface PaymentsConfig extends Common {
  role: "payments";
  ledgerUrls: readonly string[];
  mtlsDir: string | undefined;
}

export interface LedgerConfig extends Common {
  role: "ledger";
  databaseUrl: string;
  /** Time that every entry spends inside Postgres on top of its own work, in milliseconds. */
  workMs: number;
}

export type Config = StorefrontConfig | PaymentsConfig | LedgerConfig;

/** Everything that is wrong with how the service was started, all of it at once. */
export class ConfigError extends Error {
  override readonly name: string = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("; "));
    this.problems = problems;
  }
}

export const help = `Holdfast's reference service: storefront (HTTP) -> payments (gRPC) -> ledger (HTTP and Postgres).

  main --role storefront|payments|ledger     (or ROLE)

Every role
  HOST              address to listen on                        127.0.0.1
  PORT              port to listen on, 0 for any free one       storefront 8080, payments 50051, ledger 8081
  ADMIN_TOKEN       opens the admin endpoint to who knows it    none: there is no admin endpoint
  ADMIN_PORT        its port                                    9091
  ADMIN_HOST        its address                                 HOST
storefront
  PAYMENTS_ADDRESS  gRPC target, such as dns:///payments:50051  required
  MTLS_DIR          folder with svid.pem, svid_key.pem and bundle.pem: the hop to payments is mTLS
payments
  LEDGER_URLS       comma-separated http(s) URLs                required
  MTLS_DIR          as above
ledger
  DATABASE_URL      postgres://user:password@host:port/name     required
  LEDGER_WORK_MS    makes every entry take longer in Postgres   0

HOLDFAST_POLICY names the policy file (default: policy.yaml beside the service); all other HOLDFAST_* and OTEL_*
variables are those of @holdfast/sdk.`;

/**
 * Reads how the service is to run.
 *
 * @returns the configuration, or "help" when it was asked for
 * @throws ConfigError listing every problem by the name of its option or variable
 */
export function readConfig(args: readonly string[], env: NodeJS.ProcessEnv): Config | "help" {
  const problems: string[] = [];
  const flags = readFlags(args);
  if (flags.help) return "help";

  const text = (name: string): string | undefined => env[name]?.trim() || undefined;
  const required = (name: string, example: string): string => {
    const value = text(name);
    if (value === undefined) problems.push(`${name} is required, for example ${example}`);
    return value ?? "";
  };
  const whole = (name: string, fallback: number, max: number): number => {
    const value = text(name);
    if (value === undefined) return fallback;
    if (/^\d{1,9}$/.test(value) && Number(value) <= max) return Number(value);
    problems.push(`${name} must be a whole number from 0 to ${max}, not ${JSON.stringify(value)}`);
    return fallback;
  };
  const checkUrl = (name: string, value: string, ...protocols: readonly string[]): void => {
    // The value itself stays unsaid: it may hold a password.
    if (value !== "" && !protocols.includes(URL.parse(value)?.protocol ?? ""))
      problems.push(`${name} must be a URL that begins with ${protocols.map((p) => `${p}//`).join(" or ")}`);
  };

  const role = flags.role ?? text("ROLE");
  if (!roles.includes(role as Role)) {
    const given = role === undefined ? "" : `, not ${JSON.stringify(role)}`;
    throw new ConfigError([`--role (or ROLE) must be one of ${roles.join(", ")}${given}`]);
  }

  const host = text("HOST") ?? "127.0.0.1";
  const token = text("ADMIN_TOKEN");
  if (token !== undefined && token.length < 16) problems.push("ADMIN_TOKEN must have 16 characters or more");
  const common = (port: number): Common => ({
    listen: { host, port: whole("PORT", port, 65_535) },
    admin:
      token === undefined
        ? undefined
        : { token, host: text("ADMIN_HOST") ?? host, port: whole("ADMIN_PORT", 9091, 65_535) },
  });

  const config = ((): Config => {
    switch (role as Role) {
      case "storefront":
        return {
          role: "storefront",
          ...common(8080),
          paymentsAddress: required("PAYMENTS_ADDRESS", "dns:///payments:50051"),
          mtlsDir: text("MTLS_DIR"),
        };
      case "payments": {
        const ledgerUrls = (text("LEDGER_URLS") ?? "")
          .split(",")
          .map((url) => url.trim())
          .filter((url) => url !== "");
        if (ledgerUrls.length === 0) problems.push("LEDGER_URLS is required, for example http://ledger:8081");
        for (const url of ledgerUrls) checkUrl("LEDGER_URLS", url, "http:", "https:");
        return { role: "payments", ...common(50_051), ledgerUrls, mtlsDir: text("MTLS_DIR") };
      }
      case "ledger": {
        const databaseUrl = required("DATABASE_URL", "postgres://ledger:secret@127.0.0.1:5432/ledger");
        checkUrl("DATABASE_URL", databaseUrl, "postgres:", "postgresql:");
        return { role: "ledger", ...common(8081), databaseUrl, workMs: whole("LEDGER_WORK_MS", 0, 10_000) };
      }
    }
  })();
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

function readFlags(args: readonly string[]): { role?: string | undefined; help?: boolean | undefined } {
  try {
    return parseArgs({ args: [...args], options: { role: { type: "string" }, help: { type: "boolean", short: "h" } } })
      .values;
  } catch (error) {
    throw new ConfigError([(error as Error).message]);
  }
}
