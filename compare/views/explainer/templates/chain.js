// The chosen weight's chain: what every symbol of the equations is now, what stands on their lines, who agrees.
const Chain = (() => {
  "use strict";

  const { show, factor, filled } = Numbers;
  const times = (...values) => values.map((v) => factor(v)).join(" × ");

  // The numbers around the chosen weight, by the right formulas, whatever mistake is planted.
  function numbers(scene) {
    const { network, right, parameters, path, linear } = scene;
    const linears = network.layers.filter(({ kind }) => kind === "Linear");
    const [layer, next] = [linears[linear], linears[linear + 1]];
    const at = network.layers.indexOf(layer);
    const follower = network.layers[at + 1];
    const activation = follower && follower.kind !== "Linear" ? follower : null;
    const [i, j] = [path[linear], path[linear + 1]];
    const inputs = at === 0 ? scene.x : right[`${network.layers[at - 1].name}.output`];
    const row = parameters[`${layer.name}.weight`].subarray(j * layer.inputs, (j + 1) * layer.inputs);
    const n = {
      layer, next, activation, i, j, inputs, row, x: inputs[i], w: row[i], b: parameters[`${layer.name}.bias`]?.[j],
      z: right[`${layer.name}.output`][j], delta: right[`${layer.name}.output.grad`][j], C: right.loss[0],
      dw: right[`${layer.name}.weight.grad`][j * layer.inputs + i], db: right[`${layer.name}.bias.grad`]?.[j],
      t: scene.target[j], p: scene.outputs[j],
    };
    if (activation) {
      n.a = right[`${activation.name}.output`][j];
      n.da = right[`${activation.name}.output.grad`][j];
      n.slope = Network.slope(activation.kind, n.z, n.a);
    }
    n.above = next ? above(scene, next, j) : [];
    [n.dnext, n.wnext] = [n.above[0]?.delta, n.above[0]?.w];
    n.new = n.w - network.lr * n.dw;
    return n;
  }

  // What comes down to unit j from every unit of the next layer, the largest part first.  (17)
  function above({ right, parameters }, next, j) {
    const deltas = right[`${next.name}.output.grad`];
    const weights = parameters[`${next.name}.weight`];
    const parts = Array.from(deltas, (delta, k) => {
      const w = weights[k * next.inputs + j];
      return { k, delta, w, product: delta * w };
    });
    return parts.sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
  }

  // Every symbol: its name, its number as text, its places in the picture.
  function symbols(scene, words) {
    const n = numbers(scene);
    const { linear } = scene;
    const unit = `unit:${linear}:${n.j}`;
    const input = linear === 0 ? `pixel:${n.i}` : `unit:${linear - 1}:${n.i}`;
    const edge = [`edge:${linear}:${n.i}:${n.j}`, ...(linear === 0 ? [`map:${n.i}`] : [])];
    const k = n.above[0]?.k;
    const places = {
      w: edge, dw: edge, new: edge, x: [input], b: [unit], db: [unit], z: [unit], a: [unit], da: [unit], slope: [unit],
      delta: [unit], p: [`bar:${n.j}`], t: [`target:${n.j}`], C: ["cost"], dnext: [`unit:${linear + 1}:${k}`],
      wnext: [`edge:${linear + 1}:${n.j}:${k}`], outputs: scene.outputs.map((_, o) => o), targets: [], shares: [],
    };
    places.outputs = places.shares = Array.from(scene.outputs, (_, o) => `bar:${o}`);
    places.targets = Array.from(scene.target, (_, o) => `target:${o}`);
    const all = (values) => Array.from(values, (v) => show(v, 3)).join(", ");
    const { right, lastOutput, target, outputs } = scene;
    const lists = { outputs: all(right[lastOutput]), targets: all(target), shares: all(outputs) };
    const next = n.next ? scene.called(linear + 2, k) : "";
    const slots = { unit: scene.named(linear + 1), input: scene.named(linear), next };
    return Object.fromEntries(
      Object.keys(places).map((key) => {
        const value = lists[key] ?? (n[key] === undefined ? "" : show(n[key]));
        return [key, { name: filled(words.symbols[key], slots), value, places: places[key] }];
      }),
    );
  }

  // The line of numbers under each equation.
  function lines(scene, words) {
    const n = numbers(scene);
    const { loss } = scene.network;
    const sum = n.b === undefined ? n.z : n.inputs.reduce((total, v, i) => total + v * n.row[i], 0);
    const made = {
      z: [`${show(n.z)} = ${show(sum)}${n.b === undefined ? "" : ` + ${factor(n.b)}`}`, summed(n, words)],
      cost: cost(scene, loss),
      chain: `${show(n.dw)} = ${n.activation ? times(n.da, n.slope, n.x) : times(n.delta, n.x)}`,
      dw: `${show(n.dw)} = ${times(n.delta, n.x)}`,
      db: n.db === undefined ? "" : show(n.db),
      update: `${show(n.new)} = ${show(n.w)} − ${scene.network.lr} × ${factor(n.dw)}`,
    };
    const first = n.next ? filled(words.sumBelow, { count: n.above.length }) : firstDelta(n, loss);
    if (n.activation) {
      made.a = `${show(n.a)} = ${activated(n)}`;
      made.slope = n.activation.kind === "ReLU" ? slope(n) : `${show(n.slope)} = ${slope(n)}`;
      made.delta = `${show(n.delta)} = ${times(n.da, n.slope)}`;
      made.da = `${show(n.da)} = ${first}`;
    } else made.delta = `${show(n.delta)} = ${first}`;
    return made;
  }

  function summed({ inputs, b }, words) {
    const count = Array.from(inputs).filter((v) => v !== 0).length;
    return filled(b === undefined ? words.sumAlone : words.sumOver, { count });
  }

  const activated = ({ activation, z }) =>
    ({ Sigmoid: `1 / (1 + e^${factor(-z)})`, Tanh: `tanh ${factor(z)}`, ReLU: `max(0, ${show(z)})` })[activation.kind];
  const slope = ({ activation, z, a }) =>
    ({
      Sigmoid: `${factor(a)} × (1 − ${show(a)})`, Tanh: `1 − ${factor(a)}²`,
      ReLU: `${z > 0 ? 1 : 0}, ${show(z)} ${z > 0 ? ">" : "≤"} 0`,
    })[activation.kind];

  function firstDelta({ a, z, p, t }, loss) {
    if (loss.kind === "CrossEntropyLoss") return `${show(p)} − ${t}`;
    const scale = loss.kind === "SquaredError" ? (2 * loss.factor) / loss.divisor : 1 / loss.divisor;
    const before = scale === 1 ? "" : `${Number(scale.toPrecision(3))} × `;
    const difference = `${show(a ?? z)} − ${t}`;
    if (loss.kind === "BCELoss") return `${before}(${difference}) / (${show(a)} × (1 − ${show(a)}))`;
    return before ? `${before}(${difference})` : difference;
  }

  function cost({ right, lastOutput, target, outputs, label, cost: value }, loss) {
    if (loss.kind === "CrossEntropyLoss") return `${show(value)} = −log ${show(outputs[label])}`;
    const a = right[lastOutput];
    const isSquared = loss.kind === "SquaredError";
    const terms = Array.from(a, (v, k) => (isSquared ? (v - target[k]) ** 2 : -Math.log(target[k] ? v : 1 - v)));
    const scale = Number(((isSquared ? loss.factor : 1) / loss.divisor).toPrecision(3));
    return `${show(value)} = ${scale} × (${terms.map((term) => show(term, 3)).join(" + ")})`;
  }

  // What autograd has found for an equation's left side, where it has a tensor of it.
  function found({ autograd, linear }, n) {
    const { layer, activation, i, j } = n;
    const index = j * layer.inputs + i;
    const made = {
      z: autograd[`${layer.name}.output`][j], cost: autograd.loss[0], delta: autograd[`${layer.name}.output.grad`][j],
      dw: autograd[`${layer.name}.weight.grad`][index], chain: autograd[`${layer.name}.weight.grad`][index],
      db: autograd[`${layer.name}.bias.grad`]?.[j],
    };
    if (!activation) return made;
    return { ...made, a: autograd[`${activation.name}.output`][j], da: autograd[`${activation.name}.output.grad`][j] };
  }

  const LEFT = { cost: "C", chain: "dw" };

  // For each equation that autograd has a number for: that number, and how far ours is from it, relative.
  function checks(scene) {
    if (!scene.autograd) return {};
    const n = numbers(scene);
    const entries = Object.entries(found(scene, n)).filter(([, value]) => value !== undefined);
    return Object.fromEntries(
      entries.map(([name, theirs]) => {
        const apart = Network.distance([n[LEFT[name] ?? name]], [theirs]);
        return [name, { theirs, apart }];
      }),
    );
  }

  // The gradient of the chosen parameter from everybody who can say something about it.
  function witnesses(scene) {
    const n = numbers(scene);
    const tensor = `${n.layer.name}.${scene.isBias ? "bias" : "weight"}`;
    const place = scene.isBias ? n.j : n.j * n.layer.inputs + n.i;
    const nudge = (h) => Network.nudged(scene.network, scene.parameters, scene.x, scene.label, tensor, place, h);
    return {
      tensor, place, index: scene.isBias ? [n.j] : [n.j, n.i], value: scene.parameters[tensor][place],
      manual: scene.right[`${tensor}.grad`][place], planted: scene.tensors[`${tensor}.grad`][place],
      autograd: scene.autograd?.[`${tensor}.grad`][place] ?? null,
      second: nudge(1e-5).second, fourth: nudge(1e-3).fourth,
    };
  }

  return { numbers, symbols, lines, checks, witnesses };
})();
