/** What is wrong with the list of files that a package would publish. */
export function packProblems(path: string, files: readonly string[]): string[] {
  const problems: string[] = [];
  for (const needed of ["LICENSE", "README.md", "package.json", "dist/index.js", "dist/index.d.ts"]) {
    if (!files.includes(needed)) problems.push(`${path}: ${needed} is not in the packed package`);
  }
  for (const file of files) {
    if (/\.test\.|\.bench\.|tsbuildinfo|\/testing\//.test(file))
      problems.push(`${path}: ${file} must not be published`);
  }
  return problems;
}
