/** One element of DER: its tag, and where its contents stand in the bytes that it was read from. */
export interface DerElement {
  readonly tag: number;
  readonly contents: Uint8Array;
}

export const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  sequence: 0x30,
} as const;

/** Bytes that are not the DER they should be. Who reads certificates turns it into a refusal. */
export class DerError extends Error {
  override readonly name = "DerError";
}

/**
 * Reads the elements that stand one after the other in `bytes`, which must hold nothing else.
 *
 * Strict, as DER is (ITU-T X.690, section 10.1): definite lengths in their shortest form, one-byte tags. A lenient reader
 * would see another certificate than the one that OpenSSL checked.
 *
 * @throws DerError
 */
export function readDer(bytes: Uint8Array): DerElement[] {
  const elements: DerElement[] = [];
  for (let at = 0; at < bytes.length; ) {
    const elementTag = bytes[at++]!;
    if ((elementTag & 0x1f) === 0x1f) throw new DerError("a tag of more than one byte");
    let length = bytes[at++];
    if (length === undefined) throw new DerError("an element without a length");
    if (length >= 0x80) {
      const lengthBytes = length - 0x80;
      if (lengthBytes === 0 || lengthBytes > 3) throw new DerError("an indefinite or absurd length");
      length = 0;
      for (let i = 0; i < lengthBytes; i++) length = length * 256 + (bytes[at++] ?? Number.NaN);
      if (!(length >= 0x80 && length >= 256 ** (lengthBytes - 1)))
        throw new DerError("a length not in its shortest form");
    }
    if (at + length > bytes.length) throw new DerError("an element longer than what holds it");
    elements.push({ tag: elementTag, contents: bytes.subarray(at, at + length) });
    at += length;
  }
  return elements;
}

/**
 * Reads the one element that `bytes` must hold.
 *
 * @throws DerError, also when its tag is another than `expected`
 */
export function readOne(bytes: Uint8Array, expected: number): DerElement {
  const [element, ...rest] = readDer(bytes);
  if (!element || rest.length > 0) throw new DerError("not exactly one element");
  if (element.tag !== expected) throw new DerError(`tag ${element.tag} instead of ${expected}`);
  return element;
}

/** An object identifier's contents in dots, such as "2.5.29.15". */
export function oidText(contents: Uint8Array): string {
  const numbers: number[] = [];
  let number = 0;
  for (const [index, byte] of contents.entries()) {
    number = number * 128 + (byte & 0x7f);
    if (byte & 0x80) {
      if (index === contents.length - 1) throw new DerError("an object identifier that is cut off");
      continue;
    }
    if (numbers.length === 0) {
      const first = Math.min(Math.floor(number / 40), 2);
      numbers.push(first, number - first * 40);
    } else {
      numbers.push(number);
    }
    number = 0;
  }
  return numbers.join(".");
}
