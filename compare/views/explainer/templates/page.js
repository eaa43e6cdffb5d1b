// What the page is about now, and what follows from it: a scene, which every part of the page shows.
(() => {
  "use strict";

  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const [network, course, words, first] = ["network", "course", "words", "first"].map(read);
  const { show, filled, agreed } = Numbers;
  const $ = (id) => document.getElementById(id);
  const linears = network.layers.filter(({ kind }) => kind === "Linear");
  const recorded = Numbers.bytes(course.image);
  const mistakes = Mistakes.possible(network);
  const instants = new Map(); // decoded when they are first shown

  const state = {
    instant: 0, linear: linears.findIndex(({ name }) => first.tensor.startsWith(`${name}.`)), isBias: first.tensor.endsWith(".bias"),
    path: [], pixels: recorded, isRecorded: true, label: course.label, mode: "forward", mistake: null,
  };

  const instantAt = (n) => {
    if (!instants.has(n)) instants.set(n, Numbers.instant(course.instants[n]));
    return instants.get(n);
  };

  // Unit `n` of a column, the pixels being column 0: by its name, and with what it has now.
  const called = (column, n) => {
    if (column === 0) return filled(words.pixel, { pixel: n, row: Math.floor(n / course.side), column: n % course.side });
    const last = column === linears.length;
    return filled(last ? words.output : words.unit, { unit: n, layer: linears[column - 1].name });
  };

  // ------------------------------------------------------------------------------------------------------- the scene

  function sceneOf() {
    const { step, parameters, autograd } = instantAt(state.instant);
    const x = Float64Array.from(state.pixels, (ink) => ink / 255);
    const right = Network.step(network, parameters, x, state.label);
    const mistake = mistakes.find(({ name }) => name === state.mistake) ?? null;
    const tensors = mistake ? Network.step(network, parameters, x, state.label, mistake) : right;
    const lastOutput = `${network.layers.at(-1).name}.output`;
    const isSoftmax = network.loss.kind === "CrossEntropyLoss";
    const target = Network.oneHot(state.label, network.classes.length);
    const scene = {
      ...state, path: [...state.path], network, step, parameters, x, right, tensors, mistake, lastOutput, target, called,
      autograd: state.isRecorded ? autograd : null, cost: tensors.loss[0],
      outputs: isSoftmax ? Network.softmax(tensors[lastOutput]) : tensors[lastOutput],
      named: (column) => called(column, state.path[column]),
    };
    return { ...scene, ...seen(scene), compared: Tensors.compared(tensors, scene.autograd ?? right) };
  }

  // What the picture shows going forward: activations and weights; going backward: deltas and gradients.
  function seen({ tensors, right, parameters, outputs, path }) {
    const back = state.mode === "backward";
    const columns = linears.map(({ name }, c) => {
      const follower = network.layers[network.layers.findIndex((layer) => layer.name === name) + 1];
      const shown = back ? `${name}.output.grad` : `${follower && follower.kind !== "Linear" ? follower.name : name}.output`;
      const values = !back && c === linears.length - 1 ? outputs : tensors[shown];
      const wrong = new Set([...values.keys()].filter((n) => Network.distance([tensors[shown][n]], [right[shown][n]]) > Tensors.LIMIT));
      return { values, isSigned: back || follower?.kind === "Tanh", wrong };
    });
    const gaps = linears.map(({ name }) => (back ? tensors[`${name}.weight.grad`] : parameters[`${name}.weight`]));
    const map = gaps[0].subarray(path[1] * linears[0].inputs, (path[1] + 1) * linears[0].inputs);
    const mapTitle = filled(back ? words.mapGradients : words.mapWeights, { unit: path[1] });
    return { columns, gaps, map, mapTitle };
  }

  // ------------------------------------------------------------------------------------------------- what is chosen

  function settle(tensor, [unit, input]) {
    state.linear = linears.findIndex(({ name }) => tensor.startsWith(`${name}.`));
    state.isBias = tensor.endsWith(".bias");
    state.path[state.linear + 1] = unit;
    if (input !== undefined) state.path[state.linear] = input;
  }

  const choose = {
    // A unit or a pixel: it becomes an end of the chosen connection, which stays in its gap where it can.
    end: (column, n) => {
      state.path[column] = n;
      const isEnd = column === state.linear || column === state.linear + 1;
      if (!isEnd || (state.isBias && column === state.linear)) state.isBias = false;
      if (!isEnd) state.linear = Math.max(0, column - 1);
      update(announceChoice);
    },
    connection: (gap, from, to) => {
      settle(`${linears[gap].name}.weight`, [to, from]);
      update(announceChoice);
    },
  };

  const picture = Picture.build($("picture"), network, words, choose);
  const symbols = Symbols.build($("bubble"), picture.mark);
  const say = (sentence) => ($("live").textContent = sentence);
  const announceChoice = (scene, told) =>
    say(filled(words.saidChoice, { weight: nameOf(told), value: show(told.value), gradient: show(told.manual) }));
  const nameOf = ({ tensor, index }) => `${tensor}[${index.join(",")}]`;

  // -------------------------------------------------------------------------------------------------- what it shows

  function update(announce = null) {
    const scene = sceneOf();
    const told = Chain.witnesses(scene);
    picture.show(scene);
    symbols.tell(Chain.symbols(scene, words));
    showChoice(scene, told);
    showEquations(scene);
    showAbove(scene);
    showWitnesses(scene, told);
    showStep(scene);
    showTensors(scene);
    showOwn(scene);
    announce?.(scene, told);
  }

  function showChoice(scene, told) {
    const { layer } = Chain.numbers(scene);
    $("tensor").value = told.tensor;
    Object.assign($("unit"), { value: scene.path[scene.linear + 1], max: layer.outputs - 1 });
    Object.assign($("input"), { value: scene.path[scene.linear], max: layer.inputs - 1, disabled: scene.isBias });
    const slots = { weight: nameOf(told), value: show(told.value), from: scene.named(scene.linear), to: scene.named(scene.linear + 1) };
    $("choice").textContent = filled(scene.isBias ? words.chosenBias : words.chosenWeight, slots);
  }

  function showEquations(scene) {
    const [lines, checks] = [Chain.lines(scene, words), Chain.checks(scene)];
    for (const block of document.querySelectorAll("[data-linear]")) block.hidden = Number(block.dataset.linear) !== scene.linear;
    for (const equation of document.querySelectorAll(`[data-linear="${scene.linear}"] .equation`)) {
      const { equation: name } = equation.dataset;
      const check = equation.querySelector(".check");
      const [numbers, note] = [lines[name] ?? ""].flat();
      const soft = note ? [" ", Object.assign(document.createElement("span"), { className: "note", textContent: note })] : [];
      equation.querySelector(".line").replaceChildren(numbers, ...soft);
      check.hidden = !checks[name];
      if (!checks[name]) continue;
      const { theirs, apart } = checks[name];
      check.classList.toggle("apart", !(apart <= Tensors.LIMIT));
      check.textContent = agreement(apart, theirs);
    }
  }

  function agreement(apart, theirs) {
    const slots = { value: show(theirs), digits: agreed(apart) };
    return filled(apart === 0 ? words.exact : apart <= Tensors.LIMIT ? words.agreeOn : words.apart, slots);
  }

  function showAbove(scene) {
    const { above, next } = Chain.numbers(scene);
    for (const table of document.querySelectorAll(`[data-linear="${scene.linear}"] .above tbody`)) {
      const rows = above.slice(0, 30).map(({ k, delta, w, product }) => row(called(scene.linear + 2, k), [delta, w, product]));
      const rest = above.slice(30);
      const sum = (parts) => parts.reduce((total, part) => total + part.product, 0);
      if (rest.length) rows.push(row(filled(words.others, { count: rest.length }), [null, null, sum(rest)]));
      rows.push(row(words.sum, [null, null, sum([...above].sort((a, b) => a.k - b.k))], "total"));
      table.replaceChildren(...(next ? rows : []));
    }
  }

  function row(name, values, kind = "") {
    const made = document.createElement("tr");
    made.className = kind;
    const head = Object.assign(document.createElement("th"), { scope: "row", textContent: name });
    const text = (v) => (v === null ? "" : typeof v === "string" ? v : show(v));
    made.append(head, ...values.map((v) => Object.assign(document.createElement("td"), { textContent: text(v) })));
    return made;
  }

  function showWitnesses(scene, told) {
    const apart = (value) => Network.distance([value], [told.manual]);
    const digits = (value) => (apart(value) === 0 ? words.toTheBit : filled(words.digits, { digits: agreed(apart(value)) }));
    const rows = [row(words.byFormula, [told.manual, ""], "ours")];
    if (told.autograd !== null) rows.push(row(words.byAutograd, [told.autograd, digits(told.autograd)]));
    rows.push(row(words.bySecond, [told.second, digits(told.second)]), row(words.byFourth, [told.fourth, digits(told.fourth)]));
    if (scene.mistake) rows.push(row(words.byMistake, [told.planted, digits(told.planted)], "planted"));
    $("witnesses").replaceChildren(...rows);
  }

  function showStep(scene) {
    const said = filled(words.weightsBefore, { step: scene.step });
    $("step-now").textContent = said;
    $("step").value = scene.instant;
    $("step").setAttribute("aria-valuetext", said);
    $("source").textContent = filled(scene.isRecorded ? words.sourceRecorded : words.sourceOwn, { sample: course.sample, label: scene.label });
  }

  function showTensors({ compared, mistake, autograd }) {
    Tensors.show($("tensors"), compared, words);
    const parts = compared.find(({ verdict }) => verdict === "parts");
    const worst = compared.reduce((a, b) => (b.apart > a.apart ? b : a));
    const slots = {
      count: compared.length, tensor: (parts ?? worst).name, apart: show((parts ?? worst).apart, 2), against: autograd ? words.autograd : words.rightFormulas,
      following: compared.filter(({ verdict }) => verdict === "follows").length,
    };
    $("verdict").textContent = filled(parts ? words.partsAt : words.allAgree, slots);
    $("verdict").className = parts ? "bad" : "good";
    $("about-mistake").textContent = mistake ? words.mistakes[mistake.name] : words.noMistake;
    $("reference").textContent = filled(words.comparedWith, slots);
  }

  function showOwn(scene) {
    const best = scene.outputs.indexOf(Math.max(...scene.outputs));
    const steepest = Math.max(...linears.map(({ name }) => scene.tensors[`${name}.weight.grad`].reduce((m, v) => Math.max(m, Math.abs(v)), 0)));
    $("reading").textContent = filled(words.reading, {
      best: network.classes[best], value: show(scene.outputs[best], 4), cost: show(scene.cost, 5), steepest: show(steepest, 3),
    });
    $("target").value = scene.label;
    $("show-recorded").disabled = scene.isRecorded;
  }

  // ------------------------------------------------------------------------------------------------ what is operated

  function option(value, text) {
    return Object.assign(document.createElement("option"), { value, textContent: text });
  }

  // Strokes come faster than the page can be drawn: what is shown follows once a frame.
  let awaited = 0;
  function own(pixels) {
    Object.assign(state, { pixels: Uint8Array.from(pixels), isRecorded: false });
    awaited ||= requestAnimationFrame(() => {
      awaited = 0;
      update();
    });
  }

  const drawing = Drawing.build($("drawing"), words, own, say);

  function useRecorded() {
    Object.assign(state, { pixels: recorded, isRecorded: true, label: course.label });
    drawing.put(recorded);
    update((scene) => say(filled(words.saidCost, { cost: show(scene.cost, 4) })));
  }

  function listen() {
    $("step").addEventListener("input", () => {
      state.instant = Number($("step").value);
      update((scene) => say(filled(words.saidStep, { step: scene.step, cost: show(scene.cost, 4) })));
    });
    for (const radio of document.querySelectorAll("[name=mode]"))
      radio.addEventListener("change", () => ((state.mode = radio.value), update()));
    const chosen = () => {
      const layer = linears.find(({ name }) => $("tensor").value.startsWith(`${name}.`));
      const within = (id, count) => Math.max(0, Math.min(count - 1, Math.round(Number($(id).value)) || 0));
      settle($("tensor").value, [within("unit", layer.outputs), within("input", layer.inputs)]);
      update(announceChoice);
    };
    for (const id of ["unit", "input"]) $(id).addEventListener("change", chosen);
    $("tensor").addEventListener("change", () => {
      const linear = linears.findIndex(({ name }) => $("tensor").value.startsWith(`${name}.`));
      settle($("tensor").value, [state.path[linear + 1], state.path[linear]]);
      update(announceChoice);
    });
    $("steepest").addEventListener("click", () => {
      const { tensors } = sceneOf();
      const { name, inputs } = linears[state.linear];
      const sizes = tensors[`${name}.weight.grad`].map(Math.abs);
      const place = sizes.indexOf(Math.max(...sizes));
      choose.connection(state.linear, place % inputs, Math.floor(place / inputs));
    });
    $("clear").addEventListener("click", () => (drawing.put(new Uint8Array(recorded.length)), own(drawing.pixels), say(words.saidClear)));
    $("start-recorded").addEventListener("click", () => (drawing.put(recorded), own(drawing.pixels)));
    $("show-recorded").addEventListener("click", useRecorded);
    $("target").addEventListener("change", () => {
      state.label = Number($("target").value);
      state.isRecorded = state.isRecorded && state.label === course.label;
      update((scene) => say(filled(words.saidCost, { cost: show(scene.cost, 4) })));
    });
    $("mistake").addEventListener("change", () => {
      state.mistake = $("mistake").value || null;
      update(() => say($("verdict").textContent));
    });
  }

  function begin() {
    for (const { name, bias } of linears)
      for (const key of bias ? ["weight", "bias"] : ["weight"]) $("tensor").append(option(`${name}.${key}`, `${name}.${key}`));
    $("target").append(...network.classes.map((name, n) => option(n, name)));
    $("mistake").append(...mistakes.map(({ name, where }) => option(name, `${name} (${where})`)));
    Object.assign($("step"), { max: course.instants.length - 1, hidden: course.instants.length === 1 });
    $("ticks").hidden = course.instants.length === 1;
    $("ticks").append(...course.instants.map(({ step }) => Object.assign(document.createElement("span"), { textContent: step })));
    // Every column begins with something that matters: the pixel with most ink, the units with the largest deltas.
    const { autograd } = instantAt(0);
    const top = (values) => values.reduce((best, v, n) => (Math.abs(v) > Math.abs(values[best]) ? n : best), 0);
    state.path = [top(recorded), ...linears.map(({ name }) => top(autograd[`${name}.output.grad`]))];
    settle(first.tensor, first.index);
    drawing.put(recorded);
    listen();
    update();
    // For tests: what is shown now, as numbers.
    window.explainer = { scene: sceneOf, witnesses: () => Chain.witnesses(sceneOf()), pixels: () => [...state.pixels] };
  }

  begin();
})();
