// With `npm ci --ignore-scripts` the pinned Node is never installed and everything silently runs on the machine's own.
const major = Number(process.versions.node.split(".")[0]);
if (major < 24) {
  throw new Error(
    `Holdfast needs Node 24 or newer, but the tests run on ${process.version}. Run them with "npm test" after "npm ci" (without --ignore-scripts).`,
  );
}
