// Which row does each span go to, so that no two of a row overlap?

/** Gives every item of `[from, to]` a `row`, in their order in time; says how many rows there are. */
export function pack(items, from, to) {
  const ends = [];
  const placed = [...items].sort((one, other) => from(one) - from(other)).map((item) => {
    const free = ends.findIndex((end) => end <= from(item));
    const row = free < 0 ? ends.length : free;
    ends[row] = to(item);
    return { item, row };
  });
  return { placed, rows: ends.length };
}

/** Where marks stand on an axis of this length: at most so many, at round numbers. */
export function marks(length, most) {
  const steps = [100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 1800e3, 3600e3];
  const step = steps.find((step) => length / step <= most) ?? length / most;
  return Array.from({ length: Math.floor(length / step) + 1 }, (_, index) => index * step);
}
