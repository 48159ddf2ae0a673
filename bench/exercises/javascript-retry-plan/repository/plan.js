// How long to wait before each further try.
//
// The first wait is `firstMs`, each next one is twice as long, none is longer than `mostMs`.
// With `tries` tries there are `tries - 1` waits.

export const DEFAULTS = { tries: 5, firstMs: 100, mostMs: 1000 };

export function plan(options = {}) {
  const { tries, firstMs, mostMs } = { ...DEFAULTS, ...options };
  if (tries < 1) throw new RangeError(`${tries} tries: at least 1`);
  const waits = [];
  let wait = firstMs;
  while (waits.length < tries - 1 && wait <= mostMs * tries) {
    waits.push(wait);
    wait = wait * 2;
  }
  return waits;
}

export function longest(options) {
  return plan(options).reduce((sum, wait) => sum + wait, 0);
}
