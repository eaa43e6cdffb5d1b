"""The sheet of a whole network: its forward pass written out line by line, and an empty backward pass."""

import textwrap

from compare.exercise.entries import Entry, preset_of
from compare.exercise.sheet import EMPTY, Piece, Sheet, whole
from compare.experiment.description import Experiment, Layer

SLOPES = {  # of an activation a of z: its formula, its equation, its slope, that one's equation
    "Sigmoid": ("1 / (1 + np.exp(-{z}))", 2, "{a} * (1 - {a})", 14),
    "Tanh": ("np.tanh({z})", None, "(1 - {a} * {a})", 23),
    "ReLU": ("np.where({z} <= 0, 0, {z})", 24, "({z} > 0)", 25),
}


def tensors_of(experiment: Experiment) -> list[str]:
    """Return the names of the gradients that a step makes, in its order."""
    names, trainable = [], False
    for layer in experiment.layers:
        own = [f"{layer.name}.output.grad"]
        if layer.kind == "Linear":
            own += [f"{layer.name}.weight.grad", f"{layer.name}.bias.grad"][: 1 + layer.arguments.get("bias", True)]
            trainable = True
        if trainable:  # nobody reads a gradient below the first weights
            names.append(own)
    return [name for own in reversed(names) for name in own]


def symbols(experiment: Experiment) -> dict[str, str]:
    """Return what the sheet calls the output of every layer: z1, a1, z2, a2."""
    count, found = 0, {}
    for layer in experiment.layers:
        count += layer.kind == "Linear"
        found[layer.name] = f"{'z' if layer.kind == 'Linear' else 'a'}{count}"
    return found


def sheet_of_network(entry: Entry) -> Sheet:
    """Return the sheet of a network."""
    experiment = preset_of(entry)
    about = textwrap.fill(experiment.about, 110, subsequent_indent="    ")
    head = "\n".join([f"class {entry.kind}:", f'    """{about}"""', "", *constructor(experiment), ""])
    body = [*forward_lines(experiment), "", "    def backward(self):", *backward_docstring(experiment)]
    answer = [
        "    def backward(self):",
        *backward_docstring(experiment),
        textwrap.indent(solution(experiment), " " * 8),
    ]
    empty = "\n".join([head, *body, f"        {EMPTY}"])
    solved = "\n".join([head, *forward_lines(experiment), "", *answer])
    pieces = [Piece(entry.kind, "backward", "\n".join(answer))]
    return Sheet(entry.kind, whole([empty]), whole([solved]), pieces, (entry.kind,))


def linear_layers(experiment: Experiment) -> list[Layer]:
    """Return the linear layers in order."""
    return [layer for layer in experiment.layers if layer.kind == "Linear"]


def constructor(experiment: Experiment) -> list[str]:
    """Return the lines of the constructor."""
    shapes = [
        f"{x.name}.weight ({x.arguments['out_features']}, {x.arguments['in_features']}), "
        f"{x.name}.bias ({x.arguments['out_features']},)"
        for x in linear_layers(experiment)
    ]  # fmt: skip
    return [
        "    def __init__(self, parameters):",
        '        """Take the weights by name:',
        "",
        *(f"        {line}" for line in shapes),
        '        """',
        "        self.parameters = parameters",
    ]


def forward_lines(experiment: Experiment) -> list[str]:
    """Return the lines of the forward pass."""
    first, last = linear_layers(experiment)[0], linear_layers(experiment)[-1]
    lines = [
        "    def forward(self, x, target):",
        f'        """Return the cost C of x (N, {first.arguments["in_features"]}) and target '
        f'(N, {last.arguments["out_features"]})."""',
        "        self.x, self.target = x, target",
    ]
    below, named = "self.x", symbols(experiment)
    for layer in experiment.layers:
        here = f"self.{named[layer.name]}"
        if layer.kind == "Linear":
            W, b = (f"{letter}{named[layer.name][1:]}" for letter in "Wb")
            weight, bias = (f'self.parameters["{layer.name}.{key}"]' for key in ("weight", "bias"))
            lines.append(f"        {W}, {b} = {weight}, {bias}")
            shape = f"(N, {layer.arguments['out_features']})"
            lines.append(f"        {here} = {below} @ {W}.T + {b}  # (11)  {layer.name}.output  {shape}")
        else:
            formula, number, _, _ = SLOPES[layer.kind]
            cited = f"({number})  " if number else ""
            lines.append(f"        {here} = {formula.format(z=below)}  # {cited}{layer.name}.output")
        below = here
    return lines + cost_lines(experiment, below)


def cost_lines(experiment: Experiment, output: str) -> list[str]:
    """Return the lines of the cost. It is divided by N, the number of examples."""
    if experiment.loss.kind == "SquaredError":
        return [f"        return ((({output} - target) ** 2).sum()) / (2 * len(x))  # (12)  loss"]
    return [
        f"        shifted = {output} - {output}.max(axis=1, keepdims=True)",
        "        self.log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (29)",
        "        return -(target * self.log_p).sum() / len(x)  # (33)  loss",
    ]


def backward_docstring(experiment: Experiment) -> list[str]:
    """Return the docstring of the backward pass: what is to be in the dict that it returns."""
    names = [f'        "{name}"' for name in tensors_of(experiment)]
    return [
        '        """Return the gradients of the cost as a dict, by name, each of the shape of its tensor:',
        "",
        *names,
        "",
        "        Those of weights and biases are wanted; those of outputs are checked where they are there.",
        '        """',
    ]


def solution(experiment: Experiment) -> str:
    """Return the lines of the backward pass, an equation each."""
    named, layers = symbols(experiment), list(experiment.layers)
    gradient = "gradients[{!r}]".format
    lines = ["gradients = {}"]
    output = f"self.{named[layers[-1].name]}"
    delta = f"({output} - self.target) / len(self.x)  # (13)"
    if experiment.loss.kind == "CrossEntropyLoss":
        delta = "(np.exp(self.log_p) - self.target) / len(self.x)  # (34)"
    lines.append(f"{gradient(layers[-1].name + '.output.grad')} = {delta}")
    for position in reversed(range(len(layers))):
        layer, here = layers[position], gradient(f"{layers[position].name}.output.grad")
        below = layers[position - 1] if position else None
        x = f"self.{named[below.name]}" if below else "self.x"
        if layer.kind == "Linear":
            lines.append(f"{gradient(layer.name + '.weight.grad')} = {here}.T @ {x}  # (15)")
            lines.append(f"{gradient(layer.name + '.bias.grad')} = {here}.sum(axis=0)  # (16)")
            step = f'{here} @ self.parameters["{layer.name}.weight"]  # (18)'
        else:
            _, _, slope, number = SLOPES[layer.kind]
            step = f"{here} * {slope.format(z=x, a=f'self.{named[layer.name]}')}  # ({number})"
        if below is not None:
            lines.append(f"{gradient(below.name + '.output.grad')} = {step}")
    return "\n".join([*lines, "return gradients"]).replace("'", '"')
