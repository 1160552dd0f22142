/** The ledger's answer when it is not a booking. */
export class LedgerRefusal extends Error {
  override readonly name: string = "LedgerRefusal";
  readonly statusCode: number;

  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

/** Reads what the ledger said, whoever stands in between and says it in HTML. */
export async function refusalOf(response: Response): Promise<LedgerRefusal> {
  const text = await response.text();
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    if (typeof message === "string") return new LedgerRefusal(response.status, `the ledger says: ${message}`);
  } catch {}
  return new LedgerRefusal(response.status, `the ledger answered ${response.status}`);
}
