/** What one benchmark or long run found. */
export interface BarResult {
  name: string;
  /** What has to hold, in words. Empty: only reported. */
  bar: string;
  /** Whether it held. Undefined: only reported. */
  met?: boolean | undefined;
  figures: Readonly<Record<string, number | string>>;
}

/** A module of this folder that measures something. */
export interface BarModule {
  run(): Promise<BarResult>;
}
