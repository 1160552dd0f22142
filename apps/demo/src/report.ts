import { styleText } from "node:util";

/** Something that the story claims, with what was measured of it. */
export interface Finding {
  what: string;
  /** What was measured in this run, in words and figures. */
  measured: string;
  /** Whether it happened as it should. Undefined: only told, nothing to pass. */
  happened?: boolean | undefined;
  /** The trace that shows it. */
  traceId?: string | undefined;
}

/** The closing table. */
export function renderReport(findings: readonly Finding[], stream: NodeJS.WriteStream = process.stdout): string {
  const width = Math.max(...findings.map((finding) => finding.what.length));
  const rows = findings.map(({ what, measured, happened }) => {
    const mark =
      happened === undefined
        ? " "
        : happened
          ? styleText("green", "yes", { stream })
          : styleText("red", "NO", { stream });
    return `  ${what.padEnd(width)}  ${happened === undefined ? "   " : happened ? mark : `${mark} `}  ${measured}`;
  });
  return `${styleText("bold", "Measured in this run", { stream })}\n${rows.join("\n")}`;
}

/** True when everything that had to happen did. */
export function allHappened(findings: readonly Finding[]): boolean {
  return findings.every((finding) => finding.happened !== false);
}
