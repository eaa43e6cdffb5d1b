// The network: forward, cost, backward for one image, by the formulas of manual, whose numbers stand beside the lines.
// No DOM, no libraries. A tensor is a Float64Array; a weight (out, in) lies in it row by row. Sums run in plain order.
const Network = (() => {
  "use strict";

  const zeros = (count) => new Float64Array(count);

  const forwards = {
    // z_j = sum_i w_ji x_i + b_j  (1)
    Linear: (x, { weight, bias }, { outputs }) => {
      const z = zeros(outputs);
      for (let j = 0; j < outputs; j++) {
        let sum = 0;
        for (let i = 0; i < x.length; i++) sum += weight[j * x.length + i] * x[i];
        z[j] = bias ? sum + bias[j] : sum;
      }
      return z;
    },
    Sigmoid: (z) => z.map((v) => 1 / (1 + Math.exp(-v))), // (2)
    Tanh: (z) => z.map(Math.tanh),
    ReLU: (z) => z.map((v) => (v <= 0 ? 0 : v)), // (24)
  };

  const backwards = {
    // Given dy = dC/dz: the gradients of the parameters, and what goes back to the layer before.
    Linear: (dy, x, y, { weight, bias }, isFirst) => {
      const made = { weight: zeros(weight.length) };
      for (let j = 0; j < dy.length; j++)
        for (let i = 0; i < x.length; i++) made.weight[j * x.length + i] = dy[j] * x[i]; // (10), (15)
      if (bias) made.bias = dy.slice(); // (10), (16)
      if (isFirst) return made; // nobody reads the gradient of the pixels
      made.input = zeros(x.length);
      for (let i = 0; i < x.length; i++) {
        let sum = 0;
        for (let j = 0; j < dy.length; j++) sum += dy[j] * weight[j * x.length + i]; // (17), (18)
        made.input[i] = sum;
      }
      return made;
    },
    Sigmoid: (dy, z, a) => ({ input: dy.map((v, j) => v * a[j] * (1 - a[j])) }), // (6), (14)
    Tanh: (dy, z, a) => ({ input: dy.map((v, j) => v * (1 - a[j] * a[j])) }), // (23)
    ReLU: (dy, z) => ({ input: dy.map((v, j) => (z[j] <= 0 ? 0 : v)) }), // (25)
  };

  const largest = (z) => z.reduce((a, b) => Math.max(a, b));
  const total = (terms) => terms.reduce((a, b) => a + b, 0);

  // Logarithms of the softmax, the largest z taken off first.  (29)
  function logSoftmax(z) {
    const top = largest(z);
    const log = Math.log(total(z.map((v) => Math.exp(v - top))));
    return z.map((v) => v - top - log);
  }

  const softmax = (z) => logSoftmax(z).map(Math.exp);
  const log = (a) => Math.max(Math.log(a), -100); // cut off as in torch

  const costs = {
    SquaredError: ({ factor, divisor }) => ({
      value: (a, t) => (factor / divisor) * total(a.map((v, k) => (v - t[k]) * (v - t[k]))), // (3), (12)
      gradient: (a, t) => a.map((v, k) => ((2 * factor) / divisor) * (v - t[k])), // (5), (13)
    }),
    BCELoss: ({ divisor }) => ({
      value: (a, t) => total(a.map((v, k) => -(t[k] * log(v) + (1 - t[k]) * log(1 - v)))) / divisor, // (26)
      gradient: (a, t) => a.map((v, k) => (v - t[k]) / Math.max(v * (1 - v), 1e-12) / divisor), // (27)
    }),
    CrossEntropyLoss: ({ divisor }) => ({
      value: (z, t) => total(logSoftmax(z).map((v, k) => (t[k] ? -t[k] * v : 0))) / divisor, // (33)
      gradient: (z, t) => softmax(z).map((p, k) => (p - t[k]) / divisor), // (34)
    }),
  };

  const costOf = (network) => costs[network.loss.kind](network.loss);

  // The parameters of one layer by their short names, out of those of the network: "linear1.weight" -> weight.
  const own = (parameters, name) => ({ weight: parameters[`${name}.weight`], bias: parameters[`${name}.bias`] });

  const oneHot = (label, count) => zeros(count).fill(1, label, label + 1);

  // The outputs of all layers. `make(layer, key, site, right)` returns what is made in the place of what is right.
  function forward(network, parameters, x, make = (layer, key, site, right) => right) {
    const outputs = [];
    network.layers.forEach((layer) => {
      const input = outputs.at(-1) ?? x;
      const site = { layer, x: input, parameters: own(parameters, layer.name) };
      outputs.push(make(layer.name, "output", site, forwards[layer.kind](input, site.parameters, layer)));
    });
    return outputs;
  }

  // The cost of an image alone.
  function cost(network, parameters, x, label) {
    const prediction = forward(network, parameters, x).at(-1);
    return costOf(network).value(prediction, oneHot(label, prediction.length));
  }

  // All tensors of a step in the order in which it makes them, by the names of manual; `mistake` is planted if given.
  function step(network, parameters, x, label, mistake = null) {
    const make = (name, key, site, right) =>
      mistake && mistake.where === name && mistake.key === key ? mistake.wrong({ ...site, right, network }) : right;
    const outputs = forward(network, parameters, x, make);
    const tensors = {};
    network.layers.forEach(({ name }, n) => (tensors[`${name}.output`] = outputs[n]));
    const prediction = outputs.at(-1);
    const target = oneHot(label, prediction.length);
    const site = { x: prediction, target };
    tensors.loss = make("loss", "value", site, Float64Array.of(costOf(network).value(prediction, target)));
    let dy = make("loss", "gradient", site, costOf(network).gradient(prediction, target));
    for (let n = network.layers.length - 1; n >= 0; n--) {
      const layer = network.layers[n];
      tensors[`${layer.name}.output.grad`] = dy;
      const [input, held] = [outputs[n - 1] ?? x, own(parameters, layer.name)];
      const right = backwards[layer.kind](dy, input, outputs[n], held, n === 0);
      const here = { layer, x: input, y: outputs[n], dy, parameters: held, gradients: right, before: outputs[n - 2] };
      const made = {};
      for (const key of Object.keys(right)) made[key] = make(layer.name, key, here, right[key]);
      for (const key of ["weight", "bias"]) if (made[key]) tensors[`${layer.name}.${key}.grad`] = made[key];
      dy = made.input;
    }
    return tensors;
  }

  // The slope of an activation at one unit, as a number: the factor of the chain.  (6), (23), (25)
  const slope = (kind, z, a) => backwards[kind](Float64Array.of(1), Float64Array.of(z), Float64Array.of(a)).input[0];

  // What the cost does when one parameter is nudged: no calculus.
  // Of the step h the error is of the order h^2 (second), or h^4 (fourth).
  function nudged(network, parameters, x, label, tensor, place, h) {
    const moved = { ...parameters, [tensor]: parameters[tensor].slice() };
    const at = (by) => {
      moved[tensor][place] = parameters[tensor][place] + by;
      return cost(network, moved, x, label);
    };
    const near = (at(h) - at(-h)) / (2 * h);
    const far = (at(2 * h) - at(-2 * h)) / (4 * h);
    return { second: near, fourth: (4 * near - far) / 3 };
  }

  // || a - b || / || b ||: 0 where both are zero; a tensor as a whole, as the step check of `backproof run` takes it.
  function distance(a, b) {
    let [apart, size] = [0, 0];
    for (let n = 0; n < b.length; n++) {
      apart += (a[n] - b[n]) ** 2;
      size += b[n] ** 2;
    }
    if (apart === 0) return 0;
    return size === 0 ? Infinity : Math.sqrt(apart / size);
  }

  return { forward, cost, step, slope, softmax, nudged, distance, oneHot };
})();
