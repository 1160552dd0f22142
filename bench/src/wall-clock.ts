/**
 * The wall clock in milliseconds with a fraction. Date.now() has whole ones and performance.timeOrigin does not follow the
 * system clock's corrections, so the two are laid side by side at a tick of the former: good to a few microseconds for
 * the next second or so.
 */
export function calibratedWallClock(): () => number {
  const before = Date.now();
  let tick = before;
  let atMs = 0;
  do {
    tick = Date.now();
    atMs = performance.now();
  } while (tick === before);
  return () => tick + (performance.now() - atMs);
}
