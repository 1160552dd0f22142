/** What a customer orders: the one document that all three roles pass on, checked at each of their doors. */
export interface Order {
  /** The customer's own id for it. Repeating an order with the same id books it once. */
  orderId: string;
  amountCents: number;
}

/** The request can never succeed as it is. Fastify turns `statusCode` into the answer's. */
export class InvalidOrderError extends Error {
  override readonly name: string = "InvalidOrderError";
  readonly statusCode = 400;
}

const MAX_AMOUNT_CENTS = 100_000_000;

/**
 * Reads an order out of whatever was sent.
 *
 * @throws InvalidOrderError naming the field and what would be right
 */
export function readOrder(sent: unknown): Order {
  if (typeof sent !== "object" || sent === null || Array.isArray(sent))
    throw new InvalidOrderError("the body must be a JSON object with orderId and amountCents");
  const { orderId, amountCents, ...unknown } = sent as Record<string, unknown>;
  if (typeof orderId !== "string" || !/^[\w.-]{1,64}$/.test(orderId))
    throw new InvalidOrderError("orderId must be 1 to 64 letters, digits, dots, underscores or hyphens");
  if (!Number.isInteger(amountCents) || (amountCents as number) < 1 || (amountCents as number) > MAX_AMOUNT_CENTS)
    throw new InvalidOrderError(`amountCents must be a whole number from 1 to ${MAX_AMOUNT_CENTS}`);
  const [extra] = Object.keys(unknown);
  if (extra !== undefined)
    throw new InvalidOrderError(`${JSON.stringify(extra.slice(0, 64))} is not a field of an order`);
  return { orderId, amountCents: amountCents as number };
}
