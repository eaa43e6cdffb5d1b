// The mistakes that can be planted: names and wrong formulas are those of the catalogue, `backproof list mistakes`.
// Each makes one tensor of one operation wrong, at the first layer of its kind where it can be made.
const Mistakes = (() => {
  "use strict";

  const ELEMENTWISE = ["Sigmoid", "Tanh", "ReLU"];
  const SMOOTH = ["Sigmoid", "Tanh"];
  const LOSSES = ["SquaredError", "BCELoss", "CrossEntropyLoss"];

  const times = (by) => ({ right }) => right.map((v) => by * v);
  const slopes = (layer, at, a) => at.map((z, j) => Network.slope(layer.kind, z, a[j]));
  const activation = (layer, z) => (layer.kind === "Sigmoid" ? z.map((v) => 1 / (1 + Math.exp(-v))) : z.map(Math.tanh));
  const along = (dy, factors) => dy.map((d, j) => d * factors[j]);
  const table = (rows, columns, of) =>
    Float64Array.from({ length: rows * columns }, (_, n) => of(Math.floor(n / columns), n % columns));
  const product = (dy, x) => table(dy.length, x.length, (j, i) => dy[j] * x[i]);
  const sent = (dy, weight, count) =>
    Float64Array.from({ length: count }, (_, i) => dy.reduce((sum, d, j) => sum + d * weight[j * count + i], 0));

  // An (out, in) array read as if it were its transpose, reshaped back: element (j, i) is that at n of the transpose.
  const reshaped = (array, rows, columns) =>
    Float64Array.from(array, (_, n) => array[(n % rows) * columns + Math.floor(n / rows)]);
  const isSquare = (layer) => layer.inputs === layer.outputs;

  const catalogue = {
    // forward
    "bias-forgotten": {
      on: ["Linear"], key: "output", needs: (layer) => layer.bias,
      wrong: ({ right, parameters }) => right.map((z, j) => z - parameters.bias[j]),
    },
    "sigmoid-exponent-sign": { on: ["Sigmoid"], key: "output", wrong: ({ x }) => x.map((z) => 1 / (1 + Math.exp(z))) },
    "relu-absolute-value": { on: ["ReLU"], key: "output", wrong: ({ x }) => x.map(Math.abs) },
    // cost and first delta
    "loss-doubled": { on: LOSSES, key: "value", wrong: times(2) },
    "delta-doubled": { on: LOSSES, key: "gradient", wrong: times(2) },
    "delta-sign-flipped": { on: LOSSES, key: "gradient", wrong: times(-1) },
    "delta-divided-by-outputs": {
      on: LOSSES, key: "gradient", wrong: ({ right }) => right.map((v) => v * (1 / right.length)),
    },
    "delta-sign-only": {
      on: ["SquaredError"], key: "gradient",
      wrong: ({ x, target, network: { loss: { factor, divisor } } }) =>
        x.map((a, k) => ((2 * factor) / divisor) * Math.sign(a - target[k])),
    },
    "softmax-derivative-as-sigmoid": {
      on: ["CrossEntropyLoss"], key: "gradient",
      wrong: ({ x, right }) => along(right, Network.softmax(x).map((p) => p * (1 - p))),
    },
    "delta-target-forgotten": {
      on: ["CrossEntropyLoss"], key: "gradient",
      wrong: ({ x, network: { loss } }) => Network.softmax(x).map((p) => p / loss.divisor),
    },
    "cross-entropy-denominator-forgotten": {
      on: ["BCELoss"], key: "gradient", wrong: ({ x, right }) => along(right, x.map((a) => a * (1 - a))),
    },
    // through the activation
    "activation-derivative-missing": { on: ELEMENTWISE, key: "input", wrong: ({ dy }) => dy },
    "sigmoid-derivative-without-rest": { on: ["Sigmoid"], key: "input", wrong: ({ dy, y }) => along(dy, y) },
    "derivative-taken-of-activation": {
      on: SMOOTH, key: "input",
      wrong: ({ layer, dy, y }) => along(dy, slopes(layer, y, activation(layer, y))),
    },
    "derivative-formula-with-pre-activation": {
      on: SMOOTH, key: "input", wrong: ({ layer, dy, x }) => along(dy, slopes(layer, x, x)),
    },
    "tanh-derivative-without-square": {
      on: ["Tanh"], key: "input", wrong: ({ dy, y }) => along(dy, y.map((a) => 1 - a)),
    },
    "relu-mask-inverted": { on: ["ReLU"], key: "input", wrong: ({ dy, x }) => dy.map((d, j) => (x[j] > 0 ? 0 : d)) },
    "relu-gradient-times-activation": { on: ["ReLU"], key: "input", wrong: ({ dy, y }) => along(dy, y) },
    // back to the layer before
    "weight-reshaped-backward": {
      on: ["Linear"], key: "input", needs: (layer) => !isSquare(layer),
      wrong: ({ layer: { outputs, inputs }, dy, parameters }) =>
        sent(dy, reshaped(parameters.weight, outputs, inputs), inputs),
    },
    "weight-forgotten": {
      on: ["Linear"], key: "input", wrong: ({ dy, x }) => x.map(() => dy.reduce((a, b) => a + b, 0)),
    },
    "updated-weight-used": {
      on: ["Linear"], key: "input",
      wrong: ({ dy, x, parameters, gradients, network }) =>
        sent(dy, parameters.weight.map((w, n) => w - network.lr * gradients.weight[n]), x.length),
    },
    // the parameters' gradients
    "weight-gradient-reshaped": {
      on: ["Linear"], key: "weight", needs: (layer) => !isSquare(layer),
      wrong: ({ layer, right }) => reshaped(right, layer.outputs, layer.inputs),
    },
    "pre-activation-in-weight-gradient": {
      on: ["Linear"], key: "weight", needs: (layer, n) => n > 0, wrong: ({ dy, before }) => product(dy, before),
    },
    "weight-gradient-sign-flipped": { on: ["Linear"], key: "weight", wrong: times(-1) },
    "bias-gradient-zero": { on: ["Linear"], key: "bias", needs: (layer) => layer.bias, wrong: times(0) },
  };

  // The place where the mistake can be made in this network, or null.
  function placeOf(network, { on, key, needs = () => true }) {
    if (key === "value" || key === "gradient") return on.includes(network.loss.kind) ? "loss" : null;
    const can = (layer, n) => on.includes(layer.kind) && (key !== "input" || n > 0) && needs(layer, n);
    return network.layers.find(can)?.name ?? null;
  }

  // The mistakes that this network can have, each with its place.
  const possible = (network) =>
    Object.entries(catalogue)
      .map(([name, mistake]) => ({ name, ...mistake, where: placeOf(network, mistake) }))
      .filter(({ where }) => where !== null);

  return { possible };
})();
