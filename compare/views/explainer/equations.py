"""The formulas of the page, for each layer with weights: LaTeX here, MathML there, with every symbol marked.

They are those of manual/DERIVATION.md, with its numbers, for one image: N = 1. Letters count as there: i the pixels, j
the units of the first layer, k those of the next, and so on. A symbol is an element with `data-symbol`, by which the
page's script knows its number and its place in the picture.
"""

import re
from dataclasses import dataclass

from compare.views.explainer.subject import Subject
from compare.views.report.formulas import inline, mathml

LETTERS = "ijkmnpqrst"
ACTIVATIONS = {  # forward and its equation's number, derivative and its equation's number
    "Sigmoid": (r"\sigma({z}) = \frac{{1}}{{1 + e^{{-{z}}}}}", 2, "{a} (1 - {a})", 6),
    "Tanh": (r"\tanh {z}", 23, "1 - {a}^2", 23),
    "ReLU": (r"\max(0, {z})", 24, r"1 \text{{ if }} {z} > 0, \text{{ else }} 0", 25),
}


@dataclass(frozen=True)
class Equation:
    """An equation of the page: what the script calls it, its number in the derivation, and its MathML."""

    name: str
    number: int
    mathml: str


def equations(subject: Subject, position: int) -> dict[str, Equation]:
    """Return the equations around the linear layer at this position among those with weights, by name.

    forward: z, a, cost; backward: chain, da, slope, delta, dw, db; then update.
    """
    symbols = symbols_of(subject, position)
    activation, is_last = subject.activations[position], position == len(subject.linears) - 1
    s = {key: mark(key) for key in symbols}
    i, u = LETTERS[position], LETTERS[position + 1]
    made: dict[str, tuple[int, str]] = {}
    bias = f" + {s['b']}" if subject.linears[position]["bias"] else ""
    made["z"] = 1, rf"{s['z']} = \sum_{i} {s['w']} {s['x']}{bias}"
    if activation:
        forward, number, derivative, of_derivative = ACTIVATIONS[activation]
        made["a"] = number, f"{s['a']} = {forward.format(**s)}"
        made["slope"] = of_derivative, f"{s['slope']} = {derivative.format(**s)}"
    made["cost"] = cost(subject, s)
    factors = [s["da"], s["slope"], s["x"]] if activation else [s["delta"], s["x"]]
    made["chain"] = 4, f"{s['dw']} = " + r" \cdot ".join(factors)
    first = first_delta(subject, s) if is_last else (17, rf"\sum_{LETTERS[position + 2]} {s['dnext']} {s['wnext']}")
    made["da" if activation else "delta"] = first[0], f"{s['da' if activation else 'delta']} = {first[1]}"
    if activation:
        made["delta"] = 9 if is_last else 14, rf"{s['delta']} = {s['da']} \cdot {s['slope']}"
    made["dw"] = 10, rf"{s['dw']} = {s['delta']} \cdot {s['x']}"
    if bias:
        made["db"] = 10, f"{s['db']} = {s['delta']}"
    if subject.plain:
        made["update"] = 19, rf"{s['new']} = {s['w']} - {as_latex(subject.lr)} \cdot {s['dw']}"
    return {name: Equation(name, number, marked(latex, symbols)) for name, (number, latex) in made.items()} | {
        "sum": Equation("sum", 17, inline(rf"\delta_{LETTERS[position + 2]} \, w_{{{LETTERS[position + 2]}{u}}}"))
    }


def symbols_of(subject: Subject, position: int) -> dict[str, str]:
    """Return the LaTeX of every symbol around a linear layer, by the name that the script knows it by."""
    i, u, v = LETTERS[position : position + 3]
    o = LETTERS[len(subject.linears)]
    below = "x" if position == 0 else "a" if subject.activations[position - 1] else "z"
    above = "a" if subject.activations[-1] else "z"
    w = f"w_{{{u}{i}}}"
    return {
        "w": w, "x": f"{below}_{i}", "b": f"b_{u}", "z": f"z_{u}", "a": f"a_{u}", "t": f"t_{u}", "p": f"p_{u}",
        "C": "C", "dw": partial("C", w), "da": partial("C", f"a_{u}"), "slope": partial(f"a_{u}", f"z_{u}"),
        "delta": rf"\delta_{u}", "db": partial("C", f"b_{u}"), "dnext": rf"\delta_{v}", "wnext": f"w_{{{v}{u}}}",
        "outputs": f"{above}_{o}", "targets": f"t_{o}", "shares": f"p_{o}", "new": rf"{w}^{{\text{{new}}}}",
    }  # fmt: skip


def partial(above: str, below: str) -> str:
    """Return a partial derivative in LaTeX."""
    return rf"\frac{{\partial {above}}}{{\partial {below}}}"


def cost(subject: Subject, s: dict[str, str]) -> tuple[int, str]:
    """Return the cost's equation, with its number."""
    o, (factor, divisor) = LETTERS[len(subject.linears)], (subject.loss["factor"], subject.loss["divisor"])
    match subject.loss["kind"]:
        case "SquaredError":
            number = 3 if factor / divisor == 0.5 else 12
            return number, rf"{s['C']} = {share(factor / divisor)} \sum_{o} ({s['outputs']} - {s['targets']})^2"
        case "BCELoss":
            a, t = s["outputs"], s["targets"]
            return 26, rf"{s['C']} = -{share(1 / divisor)} \sum_{o} ({t} \log {a} + (1 - {t}) \log (1 - {a}))"
        case _:
            z = "z"
            softmax = rf"\frac{{e^{{{z}_{o}}}}}{{\sum_m e^{{{z}_m}}}}"
            return 33, rf"{s['C']} = - \sum_{o} {s['targets']} \log {s['shares']}, \quad {s['shares']} = {softmax}"


def first_delta(subject: Subject, s: dict[str, str]) -> tuple[int, str]:
    """Return the right side of the cost's derivative by an output, with its equation's number."""
    factor, divisor = subject.loss["factor"], subject.loss["divisor"]
    match subject.loss["kind"]:
        case "SquaredError":
            prediction = s["a"] if subject.activations[-1] else s["z"]
            scale = 2 * factor / divisor
            difference = f"{prediction} - {s['t']}"
            return (5, difference) if scale == 1 else (13, f"{share(scale)} ({difference})")
        case "BCELoss":
            return 27, rf"{share(1 / divisor)} \frac{{{s['a']} - {s['t']}}}{{{s['a']} (1 - {s['a']})}}"
        case _:
            return 34, f"{s['p']} - {s['t']}"


def share(value: float) -> str:
    """Return a factor as LaTeX: nothing for 1, a fraction for the inverse of a whole number."""
    inverse = round(1 / value, 9)
    if inverse == 1:
        return ""
    return rf"\frac{{1}}{{{inverse:.0f}}}" if inverse > 1 and inverse.is_integer() else as_latex(value)


def as_latex(value: float) -> str:
    """Return a number as LaTeX, a very large or small one with a power of ten."""
    digits, _, power = f"{value:g}".partition("e")
    return rf"{digits} \cdot 10^{{{int(power)}}}" if power else digits


def mark(key: str) -> str:
    """Return what stands for a symbol in LaTeX until it has become MathML."""
    return rf"\text{{@{key}@}}"


def marked(latex: str, symbols: dict[str, str]) -> str:
    """Return an equation as MathML in which every symbol is an element that can be pointed at and focused."""
    return re.sub(r"<mtext>@(\w+)@</mtext>", lambda found: symbol(found[1], symbols[found[1]]), mathml(latex))


def symbol(key: str, latex: str) -> str:
    """Return a symbol as MathML. The script makes one of an equation's symbols a stop of the Tab key, and names it."""
    inner = re.fullmatch(r"<math[^>]*>(.*)</math>", inline(latex))
    if inner is None:
        raise ValueError(f"No MathML came of {latex}.")
    return f'<mrow class="symbol" data-symbol="{key}" role="button" tabindex="-1">{inner[1]}</mrow>'
