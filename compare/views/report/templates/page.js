// Draws the charts: in the colours of the style sheet, anew when the reader's light goes from day to night.
(() => {
  "use strict";
  const specifications = JSON.parse(document.getElementById("specifications").textContent);
  const night = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map(); // a chart's place -> what Vega has made there

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function config() {
    const [ink, soft, line, manual, reference, bad] = ["ink", "soft", "line", "manual", "reference", "bad"].map(colour);
    return {
      aria: false, // the place of the chart has a name and a description of its own
      background: "transparent",
      font: getComputedStyle(document.body).fontFamily,
      view: { stroke: null },
      axis: {
        labelColor: soft, titleColor: soft, gridColor: line, domainColor: line, tickColor: line,
        labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", titlePadding: 10, labelPadding: 5,
      },
      axisX: { grid: false },
      legend: { labelColor: ink, labelFontSize: 12, symbolType: "stroke", symbolSize: 500, symbolStrokeWidth: 2 },
      range: { category: ["manual", "reference", "third", "fourth", "fifth"].map(colour) },
      style: {
        band: { color: manual, fillOpacity: 0.16 },
        manual: { color: manual, strokeWidth: 5, strokeOpacity: 0.4 },
        reference: { color: reference, strokeWidth: 1.6, strokeDash: [6, 4] },
        alone: { color: ink, filled: false, size: 30, strokeWidth: 1.1 },
        cursor: { color: soft, strokeWidth: 1 },
        quiet: { color: soft, strokeOpacity: 0.35, strokeWidth: 1.1, cursor: "pointer" },
        chosen: { color: manual, strokeWidth: 2.2 },
        dots: { color: manual, filled: true, size: 26, opacity: 1 },
        one: { strokeWidth: 2 },
        solo: { color: soft, filled: true, size: 34, opacity: 0.8 },
        spots: { filled: true, size: 90, opacity: 0 },
        bound: { color: bad, strokeWidth: 1.6, strokeDash: [2, 3] },
        "bound-name": { color: bad, fontSize: 12 },
      },
    };
  }

  // The data of a chart stands in the page by columns, and curves by their number.
  function rowsOf(figure) {
    const { names, columns } = JSON.parse(figure.querySelector(".rows").textContent);
    const keys = Object.keys(columns);
    return (columns.step ?? []).map((_, at) =>
      Object.fromEntries(keys.map((key) => [key, key === "series" ? names[columns[key][at]] : columns[key][at]])),
    );
  }

  async function draw(place) {
    drawn.get(place)?.finalize();
    const figure = place.closest("figure");
    const specification = structuredClone(specifications[place.dataset.chart]);
    specification.height = Number(place.dataset.height);
    specification.datasets = { ...specification.datasets, rows: rowsOf(figure) };
    const chooser = figure.querySelector("select");
    const chosen = specification.params?.find((param) => param.name === "chosen");
    if (chosen) chosen.value = chooser ? chooser.value : place.dataset.chosen;
    try {
      // ast: expressions are interpreted, so that the page may forbid `eval`
      const made = await vegaEmbed(place, specification, { actions: false, renderer: "svg", ast: true, config: config() });
      drawn.set(place, made);
      if (chooser) choosing(chooser, place, made.view);
      place.dataset.drawn = "yes";
    } catch (failure) {
      place.textContent = `${document.documentElement.dataset.undrawn} (${failure.message})`;
      console.error(failure);
    }
  }

  // The list and the curves: what is chosen in one is chosen in the other.
  function choosing(chooser, place, view) {
    chooser.onchange = () => view.signal("chosen", chooser.value).runAsync();
    view.addEventListener("click", (_, item) => {
      if (!item?.datum?.series) return;
      chooser.value = item.datum.series;
      chooser.onchange();
    });
  }

  // A chart in a closed <details> has no width yet: it is drawn when that is opened.
  const visible = (place) => !place.closest("details:not([open])");
  const drawAll = () => {
    for (const place of document.querySelectorAll(".chart")) if (visible(place) && !drawn.has(place)) draw(place);
  };

  function openTarget() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target.scrollIntoView();
  }

  document.addEventListener("toggle", drawAll, true);
  night.addEventListener("change", () => [...drawn.keys()].forEach(draw));
  addEventListener("hashchange", openTarget);
  openTarget();
  drawAll();
})();
