import { DerError, oidText, readDer, readOne, tag } from "./der.ts";

/** The fields that SPIFFE's rules are about. Node shows none of the key-usage bits, and names only as one joined text. */
export interface CertificateFields {
  readonly subjectIsEmpty: boolean;
  /** Whether basicConstraints say cA. */
  readonly ca: boolean;
  /** How many intermediates may stand below this one; undefined: any number. */
  readonly pathLength: number | undefined;
  /** Undefined when the extension is missing. */
  readonly keyUsage: KeyUsageBits | undefined;
  /** Every URI among the subject's alternative names, whatever its scheme, byte for byte (as Latin-1). */
  readonly uris: readonly string[];
  readonly alternativeNamesCritical: boolean;
  readonly hasNameConstraints: boolean;
  /** Critical extensions that nobody here understands, in dots. */
  readonly unknownCritical: readonly string[];
}

export interface KeyUsageBits {
  readonly critical: boolean;
  readonly digitalSignature: boolean;
  readonly keyCertSign: boolean;
  readonly cRLSign: boolean;
}

interface Extension {
  critical: boolean;
  value: Uint8Array;
}

const SUBJECT_ALTERNATIVE_NAME = "2.5.29.17";
const KEY_USAGE = "2.5.29.15";
const BASIC_CONSTRAINTS = "2.5.29.19";
const NAME_CONSTRAINTS = "2.5.29.30";
/** OpenSSL holds to it. */
const EXTENDED_KEY_USAGE = "2.5.29.37";
const UNDERSTOOD = [SUBJECT_ALTERNATIVE_NAME, KEY_USAGE, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE];

/** Context-specific tags of tbsCertificate (RFC 5280, section 4.1) and GeneralName (section 4.2.1.6). */
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const URI_NAME = 0x86;

/**
 * Reads those fields from a certificate's DER. Source: RFC 5280, section 4.
 *
 * @throws DerError when it is not the DER of an X.509 certificate
 */
export function readCertificateFields(der: Uint8Array): CertificateFields {
  const [toBeSigned] = readDer(readOne(der, tag.sequence).contents);
  if (toBeSigned?.tag !== tag.sequence) throw new DerError("not a certificate");
  const parts = readDer(toBeSigned.contents);
  // version?, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, ...
  const subject = parts[parts[0]?.tag === VERSION ? 5 : 4];
  if (subject?.tag !== tag.sequence) throw new DerError("a certificate without a subject");
  const extensions = readExtensions(parts.find((part) => part.tag === EXTENSIONS)?.contents);
  const names = extensions.get(SUBJECT_ALTERNATIVE_NAME);
  return {
    subjectIsEmpty: subject.contents.length === 0,
    ...readBasicConstraints(extensions.get(BASIC_CONSTRAINTS)),
    keyUsage: readKeyUsage(extensions.get(KEY_USAGE)),
    uris: names ? readUris(names.value) : [],
    alternativeNamesCritical: names?.critical ?? false,
    hasNameConstraints: extensions.has(NAME_CONSTRAINTS),
    unknownCritical: [...extensions]
      .filter(([oid, { critical }]) => critical && !UNDERSTOOD.includes(oid))
      .map(([oid]) => oid),
  };
}

function readExtensions(contents: Uint8Array | undefined): Map<string, Extension> {
  const extensions = new Map<string, Extension>();
  if (!contents) return extensions;
  for (const each of readDer(readOne(contents, tag.sequence).contents)) {
    const [oid, ...rest] = readDer(each.contents);
    const value = rest.pop();
    const [critical, ...beyond] = rest;
    if (oid?.tag !== tag.oid || value?.tag !== tag.octetString || beyond.length > 0) {
      throw new DerError("an extension that is none");
    }
    const name = oidText(oid.contents);
    // Twice the same one: each reader would believe another (RFC 5280, section 4.2, forbids it).
    if (extensions.has(name)) throw new DerError(`extension ${name} twice`);
    extensions.set(name, { critical: critical !== undefined && readBoolean(critical), value: value.contents });
  }
  return extensions;
}

function readBasicConstraints(extension: Extension | undefined): { ca: boolean; pathLength: number | undefined } {
  if (!extension) return { ca: false, pathLength: undefined };
  const parts = readDer(readOne(extension.value, tag.sequence).contents);
  const ca = parts[0]?.tag === tag.boolean && readBoolean(parts.shift()!);
  const length = parts.shift();
  if (parts.length > 0) throw new DerError("more in basicConstraints than belongs there");
  return { ca, pathLength: length && readSmallInteger(length) };
}

function readKeyUsage(extension: Extension | undefined): KeyUsageBits | undefined {
  if (!extension) return undefined;
  const bits = readOne(extension.value, tag.bitString).contents;
  // The first byte counts unused bits at the end; bit 0 is the highest of the second.
  const isSet = (bit: number): boolean => ((bits[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0;
  return {
    critical: extension.critical,
    digitalSignature: isSet(0),
    keyCertSign: isSet(5),
    cRLSign: isSet(6),
  };
}

function readUris(value: Uint8Array): string[] {
  return readDer(readOne(value, tag.sequence).contents)
    .filter((name) => name.tag === URI_NAME)
    .map((name) => Buffer.from(name.contents).toString("latin1"));
}

function readBoolean(element: { tag: number; contents: Uint8Array }): boolean {
  if (element.tag !== tag.boolean || element.contents.length !== 1) throw new DerError("a boolean that is none");
  return element.contents[0] !== 0;
}

function readSmallInteger(element: { tag: number; contents: Uint8Array }): number {
  const [value, ...beyond] = element.contents;
  if (element.tag !== tag.integer || value === undefined || value > 0x7f || beyond.length > 0) {
    throw new DerError("a path length that is none");
  }
  return value;
}
