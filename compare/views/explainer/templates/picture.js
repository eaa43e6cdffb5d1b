// The picture: the digit, the map of one unit's weights under it, the units, the outputs with their bars.
// It shows a scene (see page.js); what is clicked, or chosen with the arrow keys, it hands to `choose`.
const Picture = (() => {
  "use strict";

  const { SIDE, MANY } = Layout;
  const STRONGEST = 16; // of the lines at a chosen unit, where a layer has MANY units
  const NAMESPACE = "http://www.w3.org/2000/svg";

  function make(tag, attributes, parent) {
    const element = document.createElementNS(NAMESPACE, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    parent?.append(element);
    return element;
  }

  const set = (element, attributes) => {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  };
  const largest = (values) => values.reduce((most, v) => Math.max(most, Math.abs(v)), 0) || 1;

  function build(place, network, words, choose) {
    const linears = network.layers.filter(({ kind }) => kind === "Linear");
    const counts = linears.map(({ outputs }) => outputs);
    const svg = make("svg", { class: "network", role: "group", "aria-label": words.picture }, place);
    let at = null; // the layout
    let parts = null;
    let shown = null; // the scene

    function draw(width) {
      at = Layout.of(width, counts);
      svg.replaceChildren();
      set(svg, { viewBox: `0 0 ${width} ${at.height}`, width, height: at.height });
      svg.classList.toggle("narrow", at.isNarrow);
      const edges = make("g", { class: "edges" }, svg);
      const path = make("g", { class: "chosen-path" });
      const [digit, map] = [field("digit", at.top), field("map", at.below)];
      parts = { edges, path, digit, map, columns: at.columns.map(column) };
      svg.append(path);
      parts.marks = make("g", { class: "marks" }, svg);
      parts.cost = make("text", { class: "cost", x: width, y: at.height - 2, "text-anchor": "end" }, svg);
      parts.titles = titles();
    }

    // 28 x 28 squares. The digit is what the arrow keys walk through; both can be clicked.
    function field(name, y) {
      const group = make("g", { class: `field ${name}` }, svg);
      make("rect", { class: "frame", x: 0.5, y: y - 0.5, width: at.side + 1, height: at.side + 1 }, group);
      const cells = Array.from({ length: SIDE * SIDE }, () => make("rect", {}, group));
      group.addEventListener("click", (event) => {
        const box = group.querySelector(".frame").getBoundingClientRect();
        const away = [event.clientX - box.left, event.clientY - box.top];
        const [column, row] = away.map((d) => Math.floor((d / box.width) * SIDE));
        if (row >= 0 && row < SIDE && column >= 0 && column < SIDE) choose.end(0, row * SIDE + column);
      });
      const keys = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -SIDE, ArrowDown: SIDE };
      if (name === "digit") slide(group, 0, SIDE * SIDE, keys);
      return { group, cells, y };
    }

    function column(places, c) {
      const isLast = c === counts.length - 1;
      const group = make("g", { class: `units${isLast ? " outputs" : ""}` }, svg);
      const units = places.map((p, n) => {
        const size = { x: p.x - p.r, y: p.y - p.r, width: 2 * p.r, height: 2 * p.r };
        if (p.isSquare) make("rect", { class: "base", ...size }, group); // lines pass behind the field
        const unit = p.isSquare ? make("rect", size, group) : make("circle", { cx: p.x, cy: p.y, r: p.r }, group);
        unit.addEventListener("click", () => choose.end(c + 1, n));
        return unit;
      });
      slide(group, c + 1, places.length, { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1 });
      return { group, units, bars: isLast ? places.map((p, n) => bar(p, n, group, c)) : [] };
    }

    function bar(p, n, group, c) {
      const [x, h] = [p.x + p.r + (at.isNarrow ? 12 : 18), at.isNarrow ? 8 : 12];
      const name = make("text", { class: "class", x: p.x + p.r + (at.isNarrow ? 3 : 6), y: p.y + 4 }, group);
      name.textContent = network.classes[n];
      make("rect", { class: "track", x, y: p.y - h / 2, width: at.bar, height: h }, group);
      const fill = make("rect", { class: "fill", x, y: p.y - h / 2, width: 0, height: h }, group);
      const target = make("path", { class: "target" }, group);
      const number = make("text", { class: "number", x: x + at.bar + 5, y: p.y + 4 }, group);
      for (const part of [fill, target, number]) part.addEventListener("click", () => choose.end(c + 1, n));
      return { fill, target, number, x, h, y: p.y };
    }

    // A group of things, one of which is chosen: for the keyboard and for screen readers a slider.
    function slide(group, columnIndex, count, keys) {
      set(group, { tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-valuemax": count - 1 });
      group.addEventListener("keydown", (event) => {
        const now = shown.path[columnIndex];
        const next = event.key === "Home" ? 0 : event.key === "End" ? count - 1 : now + (keys[event.key] ?? NaN);
        if (Number.isNaN(next)) return;
        event.preventDefault();
        if (next >= 0 && next < count) choose.end(columnIndex, next);
      });
    }

    function titles() {
      const anchor = (x, text, y = at.top - 8) => {
        const title = make("text", { class: "title", x, y, "text-anchor": x ? "middle" : "start" }, svg);
        title.textContent = text;
        return title;
      };
      const columns = at.columns.map((places, c) => {
        const x = places.reduce((sum, p) => sum + p.x, 0) / places.length;
        return anchor(x, Numbers.filled(c === counts.length - 1 ? words.outputs : words.hidden, { count: counts[c] }));
      });
      return { digit: anchor(0, words.pixels), map: anchor(0, "", at.below - 8), columns };
    }

    function show(scene) {
      shown = scene;
      showField(scene);
      scene.columns.forEach((values, c) => showUnits(scene, values, c));
      showOutputs(scene);
      showEdges(scene);
      parts.cost.textContent = Numbers.filled(words.cost, { cost: Numbers.show(scene.cost, 5) });
      mark(marked);
    }

    // The digit in its greys; under it the weights into the chosen unit, or their gradients: area for size, hollow for
    // below 0.
    function showField(scene) {
      const c = at.cell;
      scene.x.forEach((ink, n) => {
        const [x, y] = [1 + (n % SIDE) * c, Math.floor(n / SIDE) * c];
        set(parts.digit.cells[n], { x, y: at.top + y, width: c, height: c, "fill-opacity": ink.toFixed(3) });
      });
      const most = largest(scene.map);
      scene.map.forEach((value, n) => {
        const size = Math.max(0, Math.sqrt(Math.abs(value) / most) * (c - 0.6));
        const [x, y] = [1 + (n % SIDE) * c, Math.floor(n / SIDE) * c].map((d) => d + (c - size) / 2);
        const inner = value < 0 ? Math.max(0, size - 1) : size; // the stroke of a hollow square adds to its size
        const shift = (size - inner) / 2;
        const cell = { x: x + shift, y: at.below + y + shift, width: inner, height: inner };
        set(parts.map.cells[n], { ...cell, class: value < 0 ? "negative" : "positive" });
      });
      parts.titles.map.textContent = scene.mapTitle;
      set(parts.digit.group, {
        "aria-valuenow": scene.path[0], "aria-valuetext": scene.named(0), "aria-label": words.choosePixel,
      });
    }

    function showUnits(scene, { values, isSigned, wrong }, c) {
      const { group, units } = parts.columns[c];
      const most = isSigned ? largest(values) : Math.max(1, largest(values));
      units.forEach((unit, n) => {
        const sign = !isSigned ? "plain" : values[n] < 0 ? "negative" : "positive";
        set(unit, {
          class: `unit ${sign}${wrong.has(n) ? " wrong" : ""}`, "fill-opacity": (Math.abs(values[n]) / most).toFixed(3),
          "stroke-opacity": sign === "negative" ? (0.25 + (0.75 * Math.abs(values[n])) / most).toFixed(3) : 1,
        });
      });
      const chooses = c === counts.length - 1 ? words.chooseOutput : words.chooseUnit;
      set(group, {
        "aria-valuenow": scene.path[c + 1], "aria-valuetext": scene.named(c + 1),
        "aria-label": Numbers.filled(chooses, { layer: linears[c].name }),
      });
    }

    function showOutputs(scene) {
      parts.columns.at(-1).bars.forEach(({ fill, target, number, x, h, y }, n) => {
        const value = scene.outputs[n];
        fill.setAttribute("width", (at.bar * Math.min(1, Math.max(0, value))).toFixed(1));
        const edge = x + at.bar * scene.target[n];
        set(target, { d: `M${edge} ${y - h / 2 - 2}v${h + 4}`, "data-wanted": scene.target[n] });
        number.textContent = value.toFixed(at.isNarrow ? 2 : 4).replace("-", "−");
        number.classList.toggle("wanted", scene.target[n] === 1);
      });
    }

    // Lines: from the chosen pixel to all units; between two layers all of them, or the strongest at the chosen units.
    function showEdges(scene) {
      parts.edges.replaceChildren();
      linears.forEach(({ inputs, outputs }, gap) => {
        const values = scene.gaps[gap];
        const [i, j] = [scene.path[gap], scene.path[gap + 1]];
        const value = ([from, to]) => Math.abs(values[to * inputs + from]);
        const sorted = (pairs) => pairs.sort((a, b) => value(b) - value(a));
        const strongest = (pairs) => (pairs.length > MANY ? sorted(pairs).slice(0, STRONGEST) : pairs);
        const all = (count, pair) => Array.from({ length: count }, (_, n) => pair(n));
        const fan = strongest(all(outputs, (to) => [i, to]));
        const into = gap === 0 ? [] : strongest(all(inputs, (from) => [from, j])).filter(([from]) => from !== i);
        const few = gap > 0 && inputs <= MANY && outputs <= MANY;
        const pairs = few ? all(inputs * outputs, (n) => [n % inputs, Math.floor(n / inputs)]) : [...fan, ...into];
        const most = largest(pairs.map(value));
        for (const [from, to] of pairs) edge(gap, from, to, values[to * inputs + from] / most, from === i || to === j);
      });
      parts.path.replaceChildren();
      linears.forEach((_, gap) => chosen(scene, gap));
      scene.path.forEach((n, c) => around(c, n));
    }

    const middle = ({ x, y, width, height }) => ({ x: x + width / 2, y: y + height / 2, r: width / 2 });
    const outOf = (gap, from) => (gap === 0 ? middle(pixelAt(from, at.top)) : at.columns[gap - 1][from]);

    function line(gap, from, to) {
      const [a, b] = [outOf(gap, from), at.columns[gap][to]];
      return `M${a.x + a.r} ${a.y.toFixed(1)}L${b.x - b.r} ${b.y.toFixed(1)}`;
    }

    // Lines that do not touch the chosen units stay in the background.
    function edge(gap, from, to, share, isNear) {
      const size = Math.abs(share);
      const path = { d: line(gap, from, to), class: share < 0 ? "edge negative" : "edge positive" };
      const [width, opacity] = isNear ? [0.5 + 2 * size, 0.3 + 0.6 * size] : [0.3 + 0.9 * size, 0.04 + 0.16 * size];
      make("path", { ...path, "stroke-width": width.toFixed(2), "stroke-opacity": opacity.toFixed(2) }, parts.edges);
      const wide = make("path", { d: path.d, class: "hit" }, parts.edges);
      wide.addEventListener("click", () => choose.connection(gap, from, to));
    }

    function chosen(scene, gap) {
      const isIt = gap === scene.linear;
      if (isIt && scene.isBias) return;
      const d = line(gap, scene.path[gap], scene.path[gap + 1]);
      const path = make("path", { d, class: isIt ? "chosen" : "path" }, parts.path);
      if (isIt) path.dataset.connection = `${gap}:${scene.path[gap]}:${scene.path[gap + 1]}`;
    }

    // A frame around the chosen pixel, in the digit and in the map, and around the chosen units.
    function around(column, n) {
      const frame = ({ x, y, width, height }, rx) =>
        make("rect", { class: "chosen-end", x: x - 2, y: y - 2, width: width + 4, height: height + 4, rx }, parts.path);
      if (column > 0) {
        frame(parts.columns[column - 1].units[n].getBBox(), at.columns[column - 1][n].isSquare ? 2 : 20);
      } else for (const y of [at.top, at.below]) frame(pixelAt(n, y), 1);
    }

    const pixelAt = (n, y) => ({
      x: 1 + (n % SIDE) * at.cell, y: y + Math.floor(n / SIDE) * at.cell, width: at.cell, height: at.cell,
    });

    // Rings around what a symbol stands for: places are "pixel:350", "unit:1:12", "bar:3", "edge:0:350:12", "cost", ...
    let marked = [];
    function mark(places) {
      marked = places;
      parts.marks.replaceChildren();
      for (const place of places) ring(...place.split(":"));
    }

    function ring(kind, ...rest) {
      const [a, b, c] = rest.map(Number);
      const box = ({ x, y, width, height }) =>
        make("rect", { class: "ring", x: x - 4, y: y - 4, width: width + 8, height: height + 8, rx: 5 }, parts.marks);
      const bars = parts.columns.at(-1).bars;
      if (kind === "pixel") box(pixelAt(a, at.top));
      if (kind === "map") box(pixelAt(a, at.below));
      if (kind === "unit") box(parts.columns[a].units[b].getBBox());
      if (kind === "column") box(parts.columns[a].group.getBBox());
      if (kind === "bar") box({ x: bars[a].x, y: bars[a].y - bars[a].h / 2, width: at.bar, height: bars[a].h });
      if (kind === "target") box(bars[a].target.getBBox());
      if (kind === "cost") box(parts.cost.getBBox());
      if (kind === "edge") make("path", { class: "ring", d: line(a, b, c) }, parts.marks);
    }

    const resize = () => {
      const width = Math.floor(place.clientWidth);
      if (!width || width === at?.width) return;
      draw(width);
      if (shown) show(shown);
    };
    new ResizeObserver(resize).observe(place);
    resize();
    return { show, mark };
  }

  return { build };
})();
