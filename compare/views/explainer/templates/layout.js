// Where everything in the picture is, for a width in pixels of the page.
const Layout = (() => {
  "use strict";

  const SIDE = 28; // of the digit
  const MANY = 64; // units: more are drawn as a field of squares
  const DEEP = 32; // rows of such a field

  const acrossOf = (count) => (count > MANY ? Math.ceil(count / DEEP) : 1);

  // The digit and the map stand below each other at the left, the columns of units to the right, the bars at the end.
  function of(width, counts) {
    const isNarrow = width < 560;
    const cell = isNarrow ? 4 : Math.min(8, Math.floor(width / 88));
    const side = SIDE * cell;
    const top = isNarrow ? 18 : 26;
    const between = isNarrow ? 22 : 34;
    const below = top + side + between;
    const height = below + side + 4;
    const bar = isNarrow ? 58 : 110;
    const forCost = isNarrow ? 14 : 24;
    const last = width - bar - (isNarrow ? 58 : 86);
    const half = (acrossOf(counts[0]) * (height - top)) / DEEP / 2;
    const start = side + (acrossOf(counts[0]) > 1 ? half + 12 : isNarrow ? 34 : 64);
    const columns = counts.map((count, c) => {
      const x = counts.length === 1 ? last : start + ((last - start) * c) / (counts.length - 1);
      const isLast = c === counts.length - 1;
      return placed(count, x, top, height - top - (isLast ? forCost : 4), isLast);
    });
    return { width, height, isNarrow, cell, side, top, below, bar, columns };
  }

  // The places of a layer's units: one column of circles, or a field of squares.
  function placed(count, x, top, height, isLast) {
    const across = acrossOf(count);
    const isSquare = across > 1;
    const room = height / Math.ceil(count / across);
    const r = isSquare ? room / 2 - 0.6 : Math.min(isLast ? 9 : 7.5, room / 2 - 0.9);
    return Array.from({ length: count }, (_, n) => ({
      x: isSquare ? x + ((n % across) - (across - 1) / 2) * room : x,
      y: top + (Math.floor(n / across) + 0.5) * room, r, isSquare,
    }));
  }

  return { SIDE, MANY, of };
})();
