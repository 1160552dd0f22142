import { randomBytes, webcrypto } from "node:crypto";
import { type Clock, systemClock } from "@holdfast/core";
import type { X509CertificateGenerator } from "@peculiar/x509";
import { type RotateOptions, type Rotation, rotateSvid, writeSvidFiles } from "./svid-files.ts";

type X509 = typeof import("@peculiar/x509");
type Extensions = NonNullable<Parameters<typeof X509CertificateGenerator.create>[0]["extensions"]>;

export type KeyUsage = "digitalSignature" | "keyEncipherment" | "keyAgreement" | "keyCertSign" | "cRLSign";

export interface AuthorityOptions {
  /** Such as "demo.holdfast.test". */
  trustDomain: string;
  /** How many intermediate authorities stand between the root and the SVIDs. Default 0, up to 5. */
  intermediates?: number | undefined;
  clock?: Clock | undefined;
}

/** The fields after `ttlMs` make a certificate that a verifier must look at closely, or refuse. */
export interface IssueOptions {
  /** How long it is valid, in milliseconds from now. Default 1 hour. Negative: it has expired already. */
  ttlMs?: number | undefined;
  /** How long before now it became valid, in milliseconds. Default 1 minute, as clocks differ. */
  backdateMs?: number | undefined;
  /** Default "O=Holdfast throw-away"; an empty one makes the SAN critical, as RFC 5280 wants. */
  subject?: string | undefined;
  /** DNS names beside the ID. Default none. */
  dnsNames?: readonly string[] | undefined;
  /** URI SANs in place of the ID alone. */
  uris?: readonly string[] | undefined;
  /** Default false. */
  ca?: boolean | undefined;
  /** Default digitalSignature; an empty list leaves the extension out. */
  keyUsages?: readonly KeyUsage[] | undefined;
  /** Default true. */
  keyUsageCritical?: boolean | undefined;
  /** Signs with the key of this SVID instead of the authority's: what a workload must never be able to do. */
  signedBy?: IssuedSvid | undefined;
}

export interface IssuedSvid {
  spiffeId: string;
  /** The leaf, then the intermediates, without the root. */
  certPem: string;
  /** PKCS #8. */
  keyPem: string;
}

interface Issuer {
  name: string;
  keys: CryptoKeyPair;
  pem: string;
}

type CryptoKeyPair = webcrypto.CryptoKeyPair;

const HOUR_MS = 3_600_000;
const AUTHORITY_TTL_MS = 30 * 24 * HOUR_MS;
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/**
 * A certificate authority of one trust domain that lives as long as its process: X.509-SVIDs for tests, demos and
 * development. Its keys stand in memory and in files that anybody of this user reads: never for production.
 */
export class ThrowawayAuthority {
  readonly trustDomain: string;
  /** The root certificate that peers trust. */
  readonly bundlePem: string;
  readonly #x509: X509;
  readonly #clock: Clock;
  readonly #issuer: Issuer;
  readonly #intermediatesPem: string;

  private constructor(x509: X509, clock: Clock, trustDomain: string, issuers: readonly Issuer[]) {
    this.#x509 = x509;
    this.#clock = clock;
    this.trustDomain = trustDomain;
    this.bundlePem = issuers[0]!.pem;
    this.#intermediatesPem = issuers
      .slice(1)
      .reverse()
      .map((issuer) => issuer.pem)
      .join("");
    this.#issuer = issuers.at(-1)!;
  }

  static async create(options: AuthorityOptions): Promise<ThrowawayAuthority> {
    const { trustDomain, intermediates = 0, clock = systemClock } = options;
    // Loaded here, not above: who only wants a clock or a Redis is spared an ASN.1 library.
    await import("reflect-metadata");
    const x509: X509 = await import("@peculiar/x509");
    x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0]);
    const issuers: Issuer[] = [];
    for (let depth = 0; depth <= intermediates; depth++) {
      const parent = issuers.at(-1);
      // A random part in the name: two roots of the same name confuse OpenSSL's choice of the issuer.
      const name = `CN=${depth === 0 ? "root" : `intermediate ${depth}`} ${randomBytes(4).toString("hex")}, O=Holdfast throw-away`;
      const keys = await generateKeys();
      const pem = await sign(x509, clock, {
        issuer: parent ?? { name, keys, pem: "" },
        subject: name,
        publicKey: keys.publicKey,
        ttlMs: AUTHORITY_TTL_MS,
        backdateMs: HOUR_MS,
        extensions: [
          new x509.BasicConstraintsExtension(true, undefined, true),
          keyUsage(x509, ["keyCertSign", "cRLSign"], true),
          new x509.SubjectAlternativeNameExtension([{ type: "url", value: `spiffe://${trustDomain}` }]),
        ],
      });
      issuers.push({ name, keys, pem });
    }
    return new ThrowawayAuthority(x509, clock, trustDomain, issuers);
  }

  /**
   * Issues an X.509-SVID with a key of its own.
   *
   * @param spiffeId a whole ID, or a path such as "/payments" of this trust domain
   */
  async issue(spiffeId: string, options: IssueOptions = {}): Promise<IssuedSvid> {
    const x509 = this.#x509;
    const id = spiffeId.startsWith("/") ? `spiffe://${this.trustDomain}${spiffeId}` : spiffeId;
    const { subject = "O=Holdfast throw-away", uris = [id], dnsNames = [], ca = false } = options;
    const { keyUsages = ["digitalSignature"], keyUsageCritical = true } = options;
    const names = [
      ...uris.map((value) => ({ type: "url", value }) as const),
      ...dnsNames.map((value) => ({ type: "dns", value }) as const),
    ];
    const extensions: Extensions = [
      new x509.BasicConstraintsExtension(ca, undefined, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
    ];
    if (keyUsages.length > 0) extensions.push(keyUsage(x509, keyUsages, keyUsageCritical));
    if (names.length > 0) extensions.push(new x509.SubjectAlternativeNameExtension(names, subject === ""));
    const keys = await generateKeys();
    const issuer = options.signedBy ? await issuerOf(x509, options.signedBy) : this.#issuer;
    const leafPem = await sign(x509, this.#clock, {
      issuer,
      subject,
      publicKey: keys.publicKey,
      ttlMs: options.ttlMs ?? HOUR_MS,
      backdateMs: options.backdateMs ?? 60_000,
      extensions,
    });
    const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
    return {
      spiffeId: id,
      certPem: leafPem + (options.signedBy ? issuer.pem : this.#intermediatesPem),
      keyPem: `${x509.PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`,
    };
  }

  /**
   * Issues an SVID and writes it as spiffe-helper does: `svid.pem`, `svid_key.pem` (mode 0600) and `bundle.pem`, each
   * replaced in one step. The three together are not: a reader may catch the new certificate beside the old key.
   */
  async writeSvid(directory: string, spiffeId: string, options: IssueOptions = {}): Promise<IssuedSvid> {
    const svid = await this.issue(spiffeId, options);
    await writeSvidFiles(directory, { ...svid, bundlePem: this.bundlePem });
    return svid;
  }

  /** Writes an SVID now and a new one every `everyMs`, until it is closed. */
  async rotateEvery(directory: string, spiffeId: string, options: RotateOptions & IssueOptions): Promise<Rotation> {
    return await rotateSvid(() => this.writeSvid(directory, spiffeId, options), { clock: this.#clock, ...options });
  }
}

interface SignOptions {
  issuer: Issuer;
  subject: string;
  publicKey: webcrypto.CryptoKey;
  ttlMs: number;
  backdateMs: number;
  extensions: Extensions;
}

async function sign(x509: X509, clock: Clock, options: SignOptions): Promise<string> {
  const { issuer, subject, publicKey, ttlMs, backdateMs, extensions } = options;
  const now = clock.now();
  // The first byte stays between 1 and 127: a serial number is a positive integer of at most 20 bytes.
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x01;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial.toString("hex"),
    subject,
    issuer: issuer.name,
    notBefore: new Date(Math.min(now, now + ttlMs) - backdateMs),
    notAfter: new Date(now + ttlMs),
    signingAlgorithm: ALGORITHM,
    publicKey,
    signingKey: issuer.keys.privateKey,
    extensions: [
      ...extensions,
      // Without key identifiers OpenSSL picks among roots by name alone and may refuse a valid peer.
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.keys.publicKey),
    ],
  });
  return `${certificate.toString("pem")}\n`;
}

async function generateKeys(): Promise<CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

async function issuerOf(x509: X509, svid: IssuedSvid): Promise<Issuer> {
  const certificate = new x509.X509Certificate(x509.PemConverter.decodeFirst(svid.certPem));
  const pkcs8 = x509.PemConverter.decodeFirst(svid.keyPem);
  const privateKey = await webcrypto.subtle.importKey("pkcs8", pkcs8, ALGORITHM, false, ["sign"]);
  const publicKey = await webcrypto.subtle.importKey("spki", certificate.publicKey.rawData, ALGORITHM, true, [
    "verify",
  ]);
  return { name: certificate.subject, keys: { privateKey, publicKey }, pem: svid.certPem };
}

function keyUsage(
  x509: X509,
  usages: readonly KeyUsage[],
  critical: boolean,
): InstanceType<X509["KeyUsagesExtension"]> {
  const flags = usages.reduce((sum, usage) => sum | x509.KeyUsageFlags[usage], 0);
  return new x509.KeyUsagesExtension(flags, critical);
}
