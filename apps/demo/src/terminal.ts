import { styleText } from "node:util";

/** How the story appears: headings for its acts, lines for what happened, and on a terminal one line that moves. */
export class Terminal {
  readonly #out: NodeJS.WriteStream;
  readonly #began: number = performance.now();
  #moving = false;

  constructor(out: NodeJS.WriteStream = process.stdout) {
    this.#out = out;
  }

  heading(text: string): void {
    this.#line(`\n${styleText(["bold", "cyan"], text, { stream: this.#out })}`);
  }

  say(text: string): void {
    this.#line(`  ${styleText("gray", this.#elapsed(), { stream: this.#out })}  ${text}`);
  }

  /** Something that does not belong to the time line: a policy, a table. */
  print(text: string): void {
    this.#line(text);
  }

  /** Shows that something is going on. Elsewhere than on a terminal it says nothing. */
  progress(text: string): void {
    if (!this.#out.isTTY) return;
    this.#out.write(`\r\x1b[2K  ${this.#elapsed()}  ${text}`);
    this.#moving = true;
  }

  #line(text: string): void {
    if (this.#moving) this.#out.write("\r\x1b[2K");
    this.#moving = false;
    this.#out.write(`${text}\n`);
  }

  #elapsed(): string {
    return `${((performance.now() - this.#began) / 1_000).toFixed(1).padStart(5)} s`;
  }
}
