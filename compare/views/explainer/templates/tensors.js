// The table of all tensors of the step, in the order in which it makes them: where the numbers part from autograd's.
const Tensors = (() => {
  "use strict";

  // Of a tensor's norm: rounding stays far below it, even where units are saturated; a mistake is far above.
  const LIMIT = 1e-9;

  // For every tensor how far ours is from theirs, and what that means.
  function compared(tensors, reference) {
    let hasParted = false;
    return Object.keys(tensors).map((name) => {
      const apart = Network.distance(tensors[name], reference[name]);
      const parts = !(apart <= LIMIT);
      const verdict = !parts ? "agrees" : hasParted ? "follows" : "parts";
      hasParted ||= parts;
      return { name, apart, verdict };
    });
  }

  const SIGNS = { agrees: "✓", parts: "◆", follows: "↳" };

  function cell(row, tag, text, kind = "") {
    const made = document.createElement(tag);
    made.textContent = text;
    if (kind) made.className = kind;
    row.append(made);
    return made;
  }

  function show(body, rows, words) {
    body.replaceChildren(
      ...rows.map(({ name, apart, verdict }) => {
        const row = document.createElement("tr");
        row.className = verdict;
        row.dataset.tensor = name;
        cell(row, "th", name).scope = "row";
        cell(row, "td", `${SIGNS[verdict]} ${words[verdict]}`, "left");
        cell(row, "td", apart === 0 ? "0" : Numbers.show(apart, 2));
        return row;
      }),
    );
  }

  return { LIMIT, compared, show };
})();
