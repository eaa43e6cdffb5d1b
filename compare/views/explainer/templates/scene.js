// A scene: what the page is about now (its state), and all the numbers that follow from it. Every part shows the scene.
const Scenes = (() => {
  "use strict";

  function build(network, course, mistakes, words) {
    const linears = network.layers.filter(({ kind }) => kind === "Linear");
    const lastOutput = `${network.layers.at(-1).name}.output`;
    const instants = new Map(); // decoded when they are first shown

    function instant(n) {
      if (!instants.has(n)) instants.set(n, Numbers.instant(course.instants[n]));
      return instants.get(n);
    }

    // What unit `n` of a column is called; the pixels are column 0.
    function called(column, n) {
      const [row, beside] = [Math.floor(n / course.side), n % course.side];
      if (column === 0) return Numbers.filled(words.pixel, { pixel: n, row, column: beside });
      const isLast = column === linears.length;
      return Numbers.filled(isLast ? words.output : words.unit, { unit: n, layer: linears[column - 1].name });
    }

    // state: instant, pixels, label, isRecorded, mistake, mode, and the choice: path, linear, isBias.
    function of(state) {
      const { step, parameters, autograd } = instant(state.instant);
      const x = Float64Array.from(state.pixels, (ink) => ink / network.divisor);
      const right = Network.step(network, parameters, x, state.label);
      const mistake = mistakes.find(({ name }) => name === state.mistake) ?? null;
      const tensors = mistake ? Network.step(network, parameters, x, state.label, mistake) : right;
      const isSoftmax = network.loss.kind === "CrossEntropyLoss";
      const scene = {
        ...state, path: [...state.path], network, step, parameters, x, right, tensors, mistake, lastOutput, called,
        target: Network.oneHot(state.label, network.classes.length), cost: tensors.loss[0],
        autograd: state.isRecorded ? autograd : null,
        outputs: isSoftmax ? Network.softmax(tensors[lastOutput]) : tensors[lastOutput],
        named: (column) => called(column, state.path[column]),
      };
      return { ...scene, ...seen(scene), compared: Tensors.compared(tensors, scene.autograd ?? right) };
    }

    // What the picture shows going forward: activations and weights; going backward: deltas and gradients.
    function seen({ mode, tensors, right, parameters, outputs, path }) {
      const isBack = mode === "backward";
      const columns = linears.map((linear, c) => {
        const follower = network.layers[network.layers.indexOf(linear) + 1];
        const activation = follower && follower.kind !== "Linear" ? follower : null;
        const shown = isBack ? `${linear.name}.output.grad` : `${(activation ?? linear).name}.output`;
        const values = !isBack && c === linears.length - 1 ? outputs : tensors[shown];
        const apart = (n) => Network.distance([tensors[shown][n]], [right[shown][n]]) > Tensors.LIMIT;
        const isSigned = isBack || values.some((v) => v < 0);
        return { values, isSigned, wrong: new Set([...values.keys()].filter(apart)) };
      });
      const gaps = linears.map(({ name }) => (isBack ? tensors[`${name}.weight.grad`] : parameters[`${name}.weight`]));
      const map = gaps[0].subarray(path[1] * linears[0].inputs, (path[1] + 1) * linears[0].inputs);
      const mapTitle = Numbers.filled(isBack ? words.mapGradients : words.mapWeights, { unit: path[1] });
      return { columns, gaps, map, mapTitle };
    }

    return { of, instant, called };
  }

  return { build };
})();
