import { StringDecoder } from "node:string_decoder";

/** The longest line that is passed on whole, in characters; what is beyond is cut off. */
const LONGEST_LINE = 64 * 1_024;

export interface LineSplitter {
  write(chunk: Buffer): void;
  /** The stream has ended: a last line without its newline counts too. */
  end(): void;
}

/** Cuts a stream of bytes into lines. Bounded, unlike node:readline: a process that never writes a newline costs 64 Ki. */
export function lineSplitter(onLine: (line: string) => void): LineSplitter {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  const take = (text: string): void => {
    const lines = text.split("\n");
    for (const [index, line] of lines.entries()) {
      rest = (rest + line).slice(0, LONGEST_LINE);
      if (index === lines.length - 1) return;
      const whole = rest.endsWith("\r") ? rest.slice(0, -1) : rest;
      rest = "";
      if (whole !== "") onLine(whole);
    }
  };
  return {
    write: (chunk) => take(decoder.write(chunk)),
    end: () => take(`${decoder.end()}\n`),
  };
}
