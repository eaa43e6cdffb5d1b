"""What the derivative of a layer is called: its formula, its equation, and the line of manual that computes it.

Equations are those of manual/DERIVATION.md and manual/derivation/. A formula is for one number; the line computes all
of them at once, and the comment behind it cites the equation of the matrices.
"""

import inspect
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from compare.language import Sentence, mark, tell

INPUT = "input"  # in the place of a parameter's key: the derivative by what goes into the layer


@dataclass(frozen=True)
class Line:
    """A line of the source that computes a gradient."""

    file: str  # manual/linear.py
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Rule:
    """The derivative of one output of a layer by one number that goes in: its formula, and the equation that says so.

    `cited` is the equation that the line of code cites, where that is another: the one for all numbers at once.
    """

    formula: str
    equation: int | None
    cited: int | None = None

    @property
    def said(self) -> str:
        """The formula, the words in it in the reader's language."""
        return tell(Sentence(self.formula))

    @property
    def in_code(self) -> int | None:
        """The equation that stands behind the line of code."""
        return self.cited or self.equation


FORWARD: dict[str, Rule] = {
    "Linear": Rule("z_j = Σ_i w_ji x_i + b_j", 1, 11),
    "Sigmoid": Rule("a = 1 / (1 + e^−z)", 2),
    "Tanh": Rule("a = tanh z", 23),
    "ReLU": Rule("a = max(0, z)", 24),
    "Conv2d": Rule("y_orc = b_o + Σ_kij w_okij x_k,sr+di,sc+dj", 72),
    "MaxPool2d": Rule("y = max x", 80),
    "Flatten": Rule("y = x", 57),
    "Dropout": Rule("y = mask x / (1 − p)", 59),
    "GELU": Rule("a = z Φ(z)", 45),
    "GELU tanh": Rule("a = z/2 (1 + t)", 47),
    "LayerNorm": Rule("y_m = w_m x̂_m + b_m", 111),
    "BatchNorm1d": Rule("y_i = γ x̂_i + β", 95),
    "Embedding": Rule("y_n = W_t(n)", 61),
    "Positions": Rule("y_nt = x_nt + W_t", 65),
    "Residual": Rule("y = x + f(x)", 67),
    "SquaredError": Rule("C = factor/divisor Σ (a − t)²", 12),
    "SquaredError 1/(2N)": Rule("C = 1/(2N) Σ (a − t)²", 12),
    "CrossEntropyLoss": Rule("C = −1/N Σ t_k log p_k", 33),
    "CrossEntropyLoss q": Rule("C = −1/divisor Σ q_k log p_k", 182),
    "BCELoss": Rule("C = −1/divisor Σ (t log a + (1 − t) log(1 − a))", 26),
    "LSTM": Rule("h_t = o_t tanh c_t", 131),
}
NORMALISED = "γ r ([i = j] − 1/M − x̂_i x̂_j / M)"
RECURRENT = mark("∂h_t/∂w, through all T steps")
RULES: dict[tuple[str, str], Rule] = {
    ("Linear", "weight"): Rule("∂z_j/∂w_ji = x_i", 7, 15),
    ("Linear", "bias"): Rule("∂z_j/∂b_j = 1", 8, 16),
    ("Linear", INPUT): Rule("∂z_k/∂x_j = w_kj", 17, 18),
    ("Sigmoid", INPUT): Rule("da/dz = a (1 − a)", 6),
    ("Tanh", INPUT): Rule("da/dz = 1 − a²", 23),
    ("ReLU", INPUT): Rule(mark("da/dz = 1 where z > 0, else 0"), 25),
    ("LeakyReLU", INPUT): Rule(mark("da/dz = 1 where z > 0, else negative_slope"), 37),
    ("ELU", INPUT): Rule(mark("da/dz = 1 where z > 0, else α e^z"), 39),
    ("GELU", INPUT): Rule("da/dz = Φ(z) + z φ(z)", 46),
    ("GELU tanh", INPUT): Rule("da/dz = (1 + t)/2 + z/2 (1 − t²) du/dz", 48),
    ("SiLU", INPUT): Rule("da/dz = s (1 + z (1 − s))", 50),
    ("Softplus", INPUT): Rule("da/dz = σ(β z)", 52),
    ("Softmax", INPUT): Rule("∂p_m/∂z_k = p_m ([m = k] − p_k)", 54),
    ("LogSoftmax", INPUT): Rule("∂y_m/∂z_k = [m = k] − p_k", 30),
    ("Conv2d", "weight"): Rule("∂y_orc/∂w_okij = x_k,sr+di,sc+dj", 75),
    ("Conv2d", "bias"): Rule("∂y_orc/∂b_o = 1", 76),
    ("Conv2d", INPUT): Rule(mark("∂y_orc/∂x_kpq = w_okij where sr + di = p, sc + dj = q"), 78),
    ("MaxPool2d", INPUT): Rule(mark("∂y/∂x = 1 at the maximum, else 0"), 82),
    ("AvgPool2d", INPUT): Rule("∂y/∂x = 1/D", 85),
    ("Flatten", INPUT): Rule("∂y/∂x = 1", 58),
    ("Dropout", INPUT): Rule("∂y/∂x = mask / (1 − p)", 60),
    ("Embedding", "weight"): Rule(mark("∂y_n/∂W_v = 1 where t(n) = v, else 0"), 62),
    ("Positions", "weight"): Rule("∂y_nt/∂W_t = 1", 66),
    ("Positions", INPUT): Rule("∂y/∂x = 1", 66),
    ("BatchNorm1d", "weight"): Rule("∂y_i/∂γ = x̂_i", 96),
    ("BatchNorm1d", "bias"): Rule("∂y_i/∂β = 1", 96),
    ("BatchNorm1d", INPUT): Rule(f"∂y_i/∂x_j = {NORMALISED}", 106),
    ("LayerNorm", "weight"): Rule("∂y_m/∂w_m = x̂_m", 112),
    ("LayerNorm", "bias"): Rule("∂y_m/∂b_m = 1", 112),
    ("LayerNorm", INPUT): Rule(f"∂y_i/∂x_j = {NORMALISED}", 104),
    ("RMSNorm", "weight"): Rule("∂y_m/∂w_m = x̂_m", 112),
    ("RMSNorm", INPUT): Rule("∂y_i/∂x_j = w_i r ([i = j] − x̂_i x̂_j / M)", 117),
    ("GroupNorm", "weight"): Rule("∂y_i/∂γ = x̂_i", 119),
    ("GroupNorm", "bias"): Rule("∂y_i/∂β = 1", 119),
    ("GroupNorm", INPUT): Rule(f"∂y_i/∂x_j = {NORMALISED}", 104),
    ("Residual", INPUT): Rule("∂y_i/∂x_j = [i = j] + ∂f_i/∂x_j", 68),
    ("MultiheadAttention", "in_proj_weight"): Rule(mark("∂y/∂W through queries, keys and values"), 158),
    ("MultiheadAttention", "in_proj_bias"): Rule(mark("∂y/∂b through queries, keys and values"), 158),
    ("MultiheadAttention", "out_proj.weight"): Rule(mark("∂y_tj/∂w_ji = (the heads' output)_ti"), 157),
    ("MultiheadAttention", "out_proj.bias"): Rule("∂y_tj/∂b_j = 1", 157),
    ("MultiheadAttention", INPUT): Rule(mark("∂y/∂x through queries, keys and values"), 159),
    ("SquaredError 1/(2N)", INPUT): Rule("∂C/∂a = (a − t) / N", 13, 253),
    ("SquaredError", INPUT): Rule("∂C/∂a = 2 factor (a − t) / divisor", 253),
    ("MSELoss", INPUT): Rule("∂C/∂a = 2 (a − t) / divisor", 253),
    ("BCELoss", INPUT): Rule("∂C/∂a = (a − t) / (a (1 − a)) / divisor", 27),
    ("NLLLoss", INPUT): Rule(mark("∂C/∂y_k = −1/divisor where k is the label, else 0"), 32),
    ("CrossEntropyLoss", INPUT): Rule("∂C/∂z_k = (p_k − t_k) / divisor", 34),
    ("CrossEntropyLoss q", INPUT): Rule("∂C/∂z_k = (m p_k − q_k) / divisor", 183),
    ("BCEWithLogitsLoss", INPUT): Rule("∂C/∂z = (a − t) / divisor", 185),
}  # fmt: skip
for kind in ("RNN", "LSTM", "GRU"):
    RULES |= {
        (kind, "weight_ih"): Rule(RECURRENT, 121), (kind, "weight_hh"): Rule(RECURRENT, 122),
        (kind, "bias_ih"): Rule(RECURRENT, 121), (kind, "bias_hh"): Rule(RECURRENT, 122),
        (kind, "weight_hr"): Rule(RECURRENT, 133), (kind, INPUT): Rule(mark("∂h_t/∂x_s, through all later steps"), 123),
    }  # fmt: skip
RULES |= {("BatchNorm2d", key): RULES["BatchNorm1d", key] for key in ("weight", "bias", INPUT)}


def rule_of(layer: Any, key: str) -> Rule:
    """Return the rule of a layer's parameter, or of its INPUT.

    For a class that is not listed the equation is the one that its own code cites, if it does.
    """
    rule = RULES.get((variant(layer), stem(key))) or RULES.get((type(layer).__name__, stem(key)))
    if rule is not None:
        return rule
    line = line_of(layer, key, None)
    cited = re.search(r"# .*?\((\d+)\)", line.text) if line else None
    return Rule("∂y/∂x" if key == INPUT else "∂y/∂p", int(cited[1]) if cited else None)


def forward_rule(layer: Any) -> Rule | None:
    """Return what a layer or a loss computes, for one number of its output; None for a class that is not listed."""
    return FORWARD.get(variant(layer)) or FORWARD.get(type(layer).__name__)


def variant(layer: Any) -> str:
    """Return the name of a class as it is in RULES, with the option that makes another formula of it."""
    kind = type(layer).__name__
    if kind == "SquaredError" and (layer.factor, layer.reduction) == (0.5, "batchmean"):
        return "SquaredError 1/(2N)"
    if kind == "GELU" and layer.approximate == "tanh":
        return "GELU tanh"
    if kind == "CrossEntropyLoss" and (layer.label_smoothing or layer.weight is not None):
        return "CrossEntropyLoss q"
    return kind


def stem(key: str) -> str:
    """Return a parameter's name without its place in a stack of recurrent layers: weight_hh of weight_hh_l1_reverse."""
    return re.sub(r"_l\d+(_reverse)?$", "", key)


def line_of(layer: Any, key: str, equation: int | None) -> Line | None:
    """Return the line that computes a gradient. None for a class without source.

    It is one that cites the equation: for a parameter the one that names it, else the first; for an input the last.
    Where no line cites it, that which assigns the parameter's gradient, or what `backward` returns.
    """
    lines = [line for kind in type(layer).__mro__[:-1] for line in source_of(kind)]
    citing = [line for line in lines if equation and re.search(rf"# .*\({equation}\)", line.text)]
    if key == INPUT:
        return (citing or [x for x in lines if x.text.startswith("return ") and "None" not in x.text] or [None])[-1]
    naming = [line for line in citing if stem(key) in line.text]
    assigning = [line for line in lines if re.search(rf"gradients\[f?[\"']{re.escape(stem(key))}", line.text)]
    return (naming or citing or assigning or [None])[0]


@cache
def source_of(kind: type) -> list[Line]:
    """Return the lines of a class from its `backward` on: what stands above computes values, not gradients.

    Nothing for a class without source.
    """
    try:
        lines, first = inspect.getsourcelines(kind)
        path = Path(inspect.getsourcefile(kind) or "")
    except (OSError, TypeError):
        return []
    start = next((n for n, text in enumerate(lines) if text.strip().startswith("def backward")), len(lines))
    file = f"{path.parent.name}/{path.name}" if path.parent.name == "manual" else str(path)
    return [Line(file, first + n, text.strip()) for n, text in enumerate(lines) if n >= start]
