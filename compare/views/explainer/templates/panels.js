// The text beside the picture: the chosen weight, the lines under the equations, the tables, what is said of the step.
const Panels = (() => {
  "use strict";

  const { show, filled, agreed } = Numbers;
  const $ = (id) => document.getElementById(id);
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
  const MOST_ROWS = 30; // of what comes back from a wide layer

  // A row of a table: a name, and numbers, texts or nothing.
  function row(name, values, kind = "") {
    const made = make("tr", { className: kind });
    const text = (v) => (v === null ? "" : typeof v === "string" ? v : show(v));
    made.append(make("th", { scope: "row", textContent: name }));
    made.append(...values.map((v) => make("td", { textContent: text(v) })));
    return made;
  }

  function build(network, course, words) {
    const nameOf = ({ tensor, index }) => `${tensor}[${index.join(",")}]`;

    function choice(scene, told) {
      const { layer } = Chain.numbers(scene);
      const [input, unit] = scene.path.slice(scene.linear);
      $("tensor").value = told.tensor;
      Object.assign($("unit"), { value: unit, max: layer.outputs - 1 });
      Object.assign($("input"), { value: input, max: layer.inputs - 1, disabled: scene.isBias });
      const ends = { from: scene.named(scene.linear), to: scene.named(scene.linear + 1) };
      const sentence = scene.isBias ? words.chosenBias : words.chosenWeight;
      $("choice").textContent = filled(sentence, { weight: nameOf(told), value: show(told.value), ...ends });
    }

    function equations(scene) {
      const [lines, checks] = [Chain.lines(scene, words), Chain.checks(scene)];
      for (const block of document.querySelectorAll("[data-linear]")) {
        block.hidden = Number(block.dataset.linear) !== scene.linear;
        if (block.hidden) continue;
        for (const equation of block.querySelectorAll(".equation")) {
          const { equation: name } = equation.dataset;
          line(equation.querySelector(".line"), [lines[name] ?? ""].flat());
          check(equation.querySelector(".check"), checks[name]);
        }
      }
    }

    function line(place, [numbers, note]) {
      place.replaceChildren(numbers, ...(note ? [" ", make("span", { className: "note", textContent: note })] : []));
    }

    function check(place, found) {
      place.hidden = !found;
      if (!found) return;
      const { theirs, apart } = found;
      const agrees = apart <= Tensors.LIMIT;
      place.classList.toggle("apart", !agrees);
      const sentence = apart === 0 ? words.exact : agrees ? words.agreeOn : words.apart;
      place.textContent = filled(sentence, { value: show(theirs), digits: agreed(apart) });
    }

    // What comes back from the next layer, the largest part first; of a wide layer the rest in one row.
    function above(scene) {
      const parts = Chain.numbers(scene).above;
      const sum = (some) => [...some].sort((a, b) => a.k - b.k).reduce((total, part) => total + part.product, 0);
      for (const body of document.querySelectorAll(`[data-linear="${scene.linear}"] .above tbody`)) {
        const rest = parts.slice(MOST_ROWS);
        const name = (k) => scene.called(scene.linear + 2, k);
        const rows = parts.slice(0, MOST_ROWS).map((part) => row(name(part.k), [part.delta, part.w, part.product]));
        if (rest.length) rows.push(row(filled(words.others, { count: rest.length }), [null, null, sum(rest)]));
        body.replaceChildren(...rows, row(words.sum, [null, null, sum(parts)], "total"));
      }
    }

    function witnesses(scene, told) {
      const agreement = (value) => {
        const apart = Network.distance([value], [told.manual]);
        return apart === 0 ? words.toTheBit : filled(words.digits, { digits: agreed(apart) });
      };
      const by = (name, value, kind) => row(name, [value, agreement(value)], kind);
      $("witnesses").replaceChildren(
        row(words.byFormula, [told.manual, ""], "ours"),
        ...(told.autograd === null ? [] : [by(words.byAutograd, told.autograd)]),
        by(words.bySecond, told.second),
        by(words.byFourth, told.fourth),
        ...(scene.mistake ? [by(words.byMistake, told.planted, "planted")] : []),
      );
    }

    function step(scene) {
      const weights = filled(words.weightsBefore, { step: scene.step });
      $("step-now").textContent = weights;
      $("step").value = scene.instant;
      $("step").setAttribute("aria-valuetext", weights);
      const source = scene.isRecorded ? words.sourceRecorded : words.sourceOwn;
      $("source").textContent = filled(source, { sample: course.sample, label: scene.label });
    }

    function tensors({ compared, mistake, autograd }) {
      Tensors.show($("tensors"), compared, words);
      const parts = compared.find(({ verdict }) => verdict === "parts");
      const { name, apart } = parts ?? compared.reduce((a, b) => (b.apart > a.apart ? b : a));
      const following = compared.filter(({ verdict }) => verdict === "follows").length;
      const slots = { count: compared.length, tensor: name, apart: show(apart, 2), following };
      $("verdict").textContent = filled(parts ? words.partsAt : words.allAgree, slots);
      $("verdict").className = parts ? "bad" : "good";
      $("about-mistake").textContent = mistake ? words.mistakes[mistake.name] : words.noMistake;
      const against = autograd ? words.autograd : words.rightFormulas;
      $("reference").textContent = filled(words.comparedWith, { against });
    }

    function reading(scene) {
      const best = scene.outputs.indexOf(Math.max(...scene.outputs));
      const weights = Object.keys(scene.tensors).filter((name) => name.endsWith(".weight.grad"));
      const sizes = weights.map((name) => scene.tensors[name].reduce((most, v) => Math.max(most, Math.abs(v)), 0));
      const slots = { best: network.classes[best], value: show(scene.outputs[best], 4), cost: show(scene.cost, 5) };
      $("reading").textContent = filled(words.reading, { ...slots, steepest: show(Math.max(...sizes), 3) });
      $("target").value = scene.label;
      $("show-recorded").disabled = scene.isRecorded;
    }

    function showAll(scene, told) {
      choice(scene, told);
      equations(scene);
      above(scene);
      witnesses(scene, told);
      step(scene);
      tensors(scene);
      reading(scene);
    }

    return { show: showAll, nameOf };
  }

  return { build };
})();
