// The page: its state, and what changes it. Every change makes a new scene, which all parts show.
(() => {
  "use strict";

  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const [network, course, words, first] = ["network", "course", "words", "first"].map(read);
  const { show, filled } = Numbers;
  const $ = (id) => document.getElementById(id);
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
  const linears = network.layers.filter(({ kind }) => kind === "Linear");
  const recorded = Numbers.bytes(course.image);
  const mistakes = Mistakes.possible(network);
  const scenes = Scenes.build(network, course, mistakes, words);

  const state = {
    instant: first.instant, pixels: recorded, isRecorded: true, label: course.label, mode: "forward", mistake: null,
    path: [], linear: 0, isBias: false, // what is chosen: one thing of every column, and the gap of the connection
  };
  const sceneOf = () => scenes.of(state);

  // ------------------------------------------------------------------------------------------------- what is chosen

  const linearOf = (tensor) => linears.findIndex(({ name }) => tensor.startsWith(`${name}.`));

  function settle(tensor, [unit, input]) {
    state.linear = linearOf(tensor);
    state.isBias = tensor.endsWith(".bias");
    state.path[state.linear + 1] = unit;
    if (input !== undefined) state.path[state.linear] = input;
  }

  const choose = {
    // A unit or a pixel: it becomes an end of the chosen connection, which stays in its gap where it can.
    end: (column, n) => {
      state.path[column] = n;
      const isEnd = column === state.linear || column === state.linear + 1;
      if (!isEnd || column === state.linear) state.isBias = false;
      if (!isEnd) state.linear = Math.max(0, column - 1);
      update(sayChoice);
    },
    connection: (gap, from, to) => {
      settle(`${linears[gap].name}.weight`, [to, from]);
      update(sayChoice);
    },
  };

  const picture = Picture.build($("picture"), network, words, choose);
  const symbols = Symbols.build($("bubble"), picture.mark);
  const panels = Panels.build(network, course, words);
  const drawing = Drawing.build($("drawing"), words, useOwn, say);

  // Show everything anew; `tell` says to those who do not see it what has changed.
  function update(tell = null) {
    const scene = sceneOf();
    const told = Chain.witnesses(scene);
    picture.show(scene);
    symbols.tell(Chain.symbols(scene, words));
    panels.show(scene, told);
    tell?.(scene, told);
  }

  function say(sentence) {
    $("live").textContent = sentence;
  }

  function sayChoice(scene, told) {
    const slots = { weight: panels.nameOf(told), value: show(told.value), gradient: show(told.manual) };
    say(filled(words.saidChoice, slots));
  }

  const sayCost = ({ cost }) => say(filled(words.saidCost, { cost: show(cost, 4) }));

  // ------------------------------------------------------------------------------------------------ what is operated

  function chooseTyped() {
    const layer = linears[linearOf($("tensor").value)];
    const within = (id, count) => Math.max(0, Math.min(count - 1, Math.round(Number($(id).value)) || 0));
    settle($("tensor").value, [within("unit", layer.outputs), within("input", layer.inputs)]);
    update(sayChoice);
  }

  function chooseTensor() {
    const linear = linearOf($("tensor").value);
    settle($("tensor").value, [state.path[linear + 1], state.path[linear]]);
    update(sayChoice);
  }

  function chooseSteepest() {
    const { name, inputs } = linears[state.linear];
    const sizes = sceneOf().tensors[`${name}.weight.grad`].map(Math.abs);
    const place = sizes.indexOf(Math.max(...sizes));
    choose.connection(state.linear, place % inputs, Math.floor(place / inputs));
  }

  function chooseStep() {
    state.instant = Number($("step").value);
    update(({ step, cost }) => say(filled(words.saidStep, { step, cost: show(cost, 4) })));
  }

  // Strokes come faster than the page can be drawn: what is shown follows once a frame.
  let awaited = 0;
  function useOwn(pixels) {
    Object.assign(state, { pixels: Uint8Array.from(pixels), isRecorded: false });
    awaited ||= requestAnimationFrame(() => {
      awaited = 0;
      update();
    });
  }

  function useRecorded() {
    Object.assign(state, { pixels: recorded, isRecorded: true, label: course.label });
    drawing.put(recorded);
    update(sayCost);
  }

  function startFrom(pixels) {
    drawing.put(pixels);
    useOwn(drawing.pixels);
  }

  function chooseTarget() {
    state.label = Number($("target").value);
    state.isRecorded = state.isRecorded && state.label === course.label;
    update(sayCost);
  }

  function chooseMistake() {
    state.mistake = $("mistake").value || null;
    update(() => say($("verdict").textContent));
  }

  function clear() {
    startFrom(new Uint8Array(recorded.length));
    say(words.saidClear);
  }

  function listen() {
    const changes = {
      tensor: chooseTensor, unit: chooseTyped, input: chooseTyped, target: chooseTarget, mistake: chooseMistake,
    };
    const clicks = {
      steepest: chooseSteepest, clear, "start-recorded": () => startFrom(recorded), "show-recorded": useRecorded,
    };
    for (const [id, act] of Object.entries(changes)) $(id).addEventListener("change", act);
    for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);
    $("step").addEventListener("input", chooseStep);
    for (const radio of document.querySelectorAll("[name=mode]"))
      radio.addEventListener("change", () => {
        state.mode = radio.value;
        update();
      });
  }

  // ------------------------------------------------------------------------------------------------ at the beginning

  function fill() {
    const option = (value, textContent) => make("option", { value, textContent });
    const tensors = linears.flatMap(({ name, bias }) => [`${name}.weight`, ...(bias ? [`${name}.bias`] : [])]);
    $("tensor").append(...tensors.map((name) => option(name, name)));
    $("target").append(...network.classes.map((name, n) => option(n, name)));
    $("mistake").append(...mistakes.map(({ name, where }) => option(name, `${name} (${where})`)));
    const isAlone = course.instants.length === 1;
    Object.assign($("step"), { max: course.instants.length - 1, value: first.instant, hidden: isAlone });
    $("ticks").hidden = isAlone;
    $("ticks").append(...course.instants.map(({ step }) => make("span", { textContent: step })));
  }

  // Every column begins with something that matters: the pixel with most ink, the units with the largest deltas.
  function begin() {
    const { autograd } = scenes.instant(first.instant);
    const top = (values) => values.reduce((best, v, n) => (Math.abs(v) > Math.abs(values[best]) ? n : best), 0);
    state.path = [top(recorded), ...linears.map(({ name }) => top(autograd[`${name}.output.grad`]))];
    settle(first.tensor, first.index);
    fill();
    drawing.put(recorded);
    listen();
    update();
  }

  begin();
  // For tests: what is shown now, as numbers.
  window.explainer = { scene: sceneOf, witnesses: () => Chain.witnesses(sceneOf()), pixels: () => [...state.pixels] };
})();
