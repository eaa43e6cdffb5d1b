"""The equations of a report: the loss as configured, the update rule, the measures of error; LaTeX here, MathML there.

The formulas are those of `manual`'s docstrings, with their symbols: a prediction a, z or x, a target t, N examples with
K outputs; p a parameter, g its gradient. What a record says of its configuration is not believed: a number that is none
is left out of a formula, and a name that the tables lack has no formula.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compare.language import say

Table = Mapping[str, Any]

# Loss: what is summed over, the term, and what stands in the term.
LOSSES: dict[str, tuple[str, str, str]] = {
    "SquaredError": ("n,k", r"(a_{nk} - t_{nk})^2", ""),
    "MSELoss": ("n,k", r"(a_{nk} - t_{nk})^2", ""),
    "L1Loss": ("n,k", r"|a_{nk} - t_{nk}|", ""),
    "HuberLoss": (
        "n,k", r"h(a_{nk} - t_{nk})",
        r"h(d) = c \left( |d| - \frac{c}{2} \right), \quad c = \min(|d|, \delta)",
    ),
    "SmoothL1Loss": (
        "n,k", r"s(a_{nk} - t_{nk})",
        r"s(d) = \frac{c}{\beta} \left( |d| - \frac{c}{2} \right), \quad c = \min(|d|, \beta)",
    ),
    "BCELoss": ("n,k", r"- \left( t_{nk} \log a_{nk} + (1 - t_{nk}) \log (1 - a_{nk}) \right)", ""),
    "BCEWithLogitsLoss": (
        "n,k", r"\left( v \, t_{nk} \log (1 + e^{-z_{nk}}) + (1 - t_{nk}) \log (1 + e^{z_{nk}}) \right)", "",
    ),
    "KLDivLoss": ("n,k", r"t_{nk} (\log t_{nk} - y_{nk})", ""),
    "CrossEntropyLoss": (
        "n,k", r"- q_{nk} \log p_{nk}",
        r"p_{nk} = \frac{e^{z_{nk}}}{\sum_m e^{z_{nm}}}, \quad "
        r"q_{nk} = w_k \left( (1 - s) t_{nk} + \frac{s}{K} \right)",
    ),
    "NLLLoss": ("n", r"- w_{t(n)} y_{n,t(n)}", ""),
    "MultiMarginLoss": (
        "n", r"\frac{w_{t(n)}}{K} \sum_{k \neq t(n)} \max(0, m - x_{n,t(n)} + x_{nk})^p", "",
    ),
}  # fmt: skip
LABELLED = ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss")  # their mean is over the examples

# Optimizer: its lines in order; before each, the options that it needs ("!": that it must not have).
OPTIMIZERS: dict[str, tuple[tuple[str, str], ...]] = {
    "SGD": (
        ("weight_decay", r"g \leftarrow g + \lambda p"),
        ("momentum !dampening", r"v \leftarrow \mu v + g"),
        ("momentum dampening", r"v \leftarrow \mu v + (1 - \tau) g"),
        ("momentum nesterov", r"g \leftarrow g + \mu v"),
        ("momentum !nesterov", r"g \leftarrow v"),
        ("", r"p \leftarrow p - \eta g"),
    ),
    "Adagrad": (
        ("weight_decay", r"g \leftarrow g + \lambda p"),
        ("", r"s \leftarrow s + g^2"),
        ("", r"p \leftarrow p - \frac{\eta}{1 + (t - 1) \kappa} \frac{g}{\sqrt{s} + \epsilon}"),
    ),
    "RMSprop": (
        ("weight_decay", r"g \leftarrow g + \lambda p"),
        ("", r"s \leftarrow \alpha s + (1 - \alpha) g^2"),
        ("centered", r"m \leftarrow \alpha m + (1 - \alpha) g"),
        ("!centered", r"d = \frac{g}{\sqrt{s} + \epsilon}"),
        ("centered", r"d = \frac{g}{\sqrt{s - m^2} + \epsilon}"),
        ("momentum", r"v \leftarrow \mu v + d, \quad d \leftarrow v"),
        ("", r"p \leftarrow p - \eta d"),
    ),
    "Adadelta": (
        ("weight_decay", r"g \leftarrow g + \lambda p"),
        ("", r"s \leftarrow \rho s + (1 - \rho) g^2"),
        ("", r"d = \frac{\sqrt{a + \epsilon}}{\sqrt{s + \epsilon}} g"),
        ("", r"a \leftarrow \rho a + (1 - \rho) d^2"),
        ("", r"p \leftarrow p - \eta d"),
    ),
    "Adam": (
        ("weight_decay", r"g \leftarrow g + \lambda p"),
        ("", r"m \leftarrow \beta_1 m + (1 - \beta_1) g"),
        ("", r"v \leftarrow \beta_2 v + (1 - \beta_2) g^2"),
        ("amsgrad", r"\hat{v} \leftarrow \max(\hat{v}, v)"),
        ("!amsgrad", r"p \leftarrow p - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}"),
        ("amsgrad", r"p \leftarrow p - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{\hat{v} / (1 - \beta_2^t)} + \epsilon}"),
    ),
}
OPTIMIZERS["AdamW"] = (("weight_decay", r"p \leftarrow (1 - \eta \lambda) p"), *OPTIMIZERS["Adam"][1:])

BEFORE = (  # what every optimizer may do before its own lines
    ("accumulate", r"g = \frac{1}{k} \sum_{i=1}^{k} g_i"),
    ("max_norm", r"g \leftarrow g \min \left( 1, \frac{c}{\|g\| + 10^{-6}} \right)"),
    ("clip_value", r"g \leftarrow \max(-c, \min(g, c))"),
    ("maximize", r"g \leftarrow -g"),
)
SCHEDULES = {
    "StepLR": r"\eta_t = \eta \gamma^{\lfloor t / s \rfloor}",
    "LinearLR": r"\eta_t = \eta \left( f_0 + (f_1 - f_0) \min \left( 1, \frac{t}{T} \right) \right)",
    "CosineAnnealingLR": r"\eta_t = \eta_{\min} + \frac{\eta - \eta_{\min}}{2} \left( 1 + \cos \frac{\pi t}{T} \right)",
}
USUAL = {"AdamW": {"weight_decay": 0.01}}  # options that are not 0 where the description leaves them out

SYMBOLS = {  # option: the symbol it has above
    "lr": r"\eta", "momentum": r"\mu", "dampening": r"\tau", "weight_decay": r"\lambda", "lr_decay": r"\kappa",
    "alpha": r"\alpha", "rho": r"\rho", "eps": r"\epsilon", "delta": r"\delta", "beta": r"\beta", "margin": "m",
    "p": "p", "label_smoothing": "s", "pos_weight": "v", "accumulate": "k", "max_norm": "c", "clip_value": "c",
}  # fmt: skip

UNITS = {
    "float64": r"u = 2^{-53} \approx 1.1 \times 10^{-16}",
    "float32": r"u = 2^{-24} \approx 6.0 \times 10^{-8}",
}


@dataclass(frozen=True)
class Formula:
    """A formula for the page, and beside it the values of its symbols, as text."""

    lines: tuple[str, ...]  # LaTeX
    values: tuple[tuple[str, str, str], ...]  # symbol as LaTeX, or "", the option's name, its value


def loss_formula(section: Table) -> Formula:
    """Return the loss as [loss] configures it, its divisor and factor written out."""
    kind = str(section.get("kind", "SquaredError"))
    if kind not in LOSSES:
        return Formula((), valued(section))
    over, term, where = LOSSES[kind]
    weighted, squared = section.get("weight") is not None, kind == "SquaredError"
    reduction = section.get("reduction", "batchmean" if squared else "mean")
    if kind == "KLDivLoss" and section.get("log_target"):
        term = r"e^{t_{nk}} (t_{nk} - y_{nk})"
    elif kind == "CrossEntropyLoss" and not weighted and not section.get("label_smoothing"):
        term, where = term.replace("q_", "t_"), where.split(r", \quad q")[0]
    elif kind == "NLLLoss" and not weighted:
        term = term.replace("w_{t(n)} ", "")
    sign, term = ("- ", term[2:]) if term.startswith("- ") else ("", term)
    if kind in ("BCELoss", "BCEWithLogitsLoss") and weighted:
        term = f"w_{{nk}} {term}"
    index, total = "", rf"\sum_{{{over}}} "
    if reduction == "none":  # one number for every element, or for every example of a loss with labels
        index, total = ("_n", r"\sum_k " if over == "n,k" else "") if kind in LABELLED else ("_{nk}", "")
    scaled = scale(number(section.get("factor", 0.5)) if squared else 1.0, divisor(kind, reduction, weighted))
    return Formula((f"C{index} = {sign}{scaled}{total}{term}", *([where] if where else [])), valued(section))


def divisor(kind: str, reduction: Any, weighted: bool) -> str:
    """Return what the sum is divided by, as LaTeX; "" for nothing."""
    if reduction == "batchmean":
        return "N"
    if reduction != "mean":
        return ""
    if kind in LABELLED:
        return r"\sum_n w_{t(n)}" if weighted and kind != "MultiMarginLoss" else "N"
    return "N K"


def scale(factor: float | None, below: str) -> str:
    """Return factor / divisor as LaTeX: 1/(2N) rather than 0.5/N; what is no number counts as 1."""
    if factor is None or factor == 1:
        return rf"\frac{{1}}{{{below}}} " if below else ""
    inverse = round(1 / factor, 9) if abs(factor) > 1e-6 else 0.0
    above, times = ("1", f"{inverse:.0f} ") if inverse > 1 and inverse.is_integer() else (shown(factor), "")
    return rf"\frac{{{above}}}{{{times}{below}}} " if times or below else f"{above} "


def update_formula(section: Table) -> Formula:
    """Return the optimizer's update, those of its lines that its options call for."""
    kind = str(section.get("kind", "SGD"))
    options = {**USUAL.get(kind, {}), **section}
    lines = [r"g = \frac{\partial C}{\partial p}"] if kind in OPTIMIZERS else []
    lines += [line for needed, line in (*BEFORE, *OPTIMIZERS.get(kind, ())) if called_for(needed, options)]
    if kind not in OPTIMIZERS:
        return Formula((), valued(section))
    schedule = section.get("schedule")
    if isinstance(schedule, Mapping) and str(schedule.get("kind")) in SCHEDULES:
        lines.append(SCHEDULES[str(schedule["kind"])])
    return Formula(tuple(lines), valued(section))


def called_for(needed: str, options: Table) -> bool:
    """Whether the options have all that a line needs, and nothing that it must not have."""
    if needed == "accumulate":
        return (number(options.get("accumulate", 1)) or 1) > 1
    return all(bool(options.get(word.lstrip("!"))) != word.startswith("!") for word in needed.split())


def valued(section: Table) -> tuple[tuple[str, str, str], ...]:
    """Return the options of a section: symbol, name, value."""
    rows = []
    for key, value in section.items():
        if key == "kind" or value in (0, False, None, "") or (key == "decays" and value == "all"):
            continue
        rows.append((r"\beta_1, \beta_2" if key == "betas" else SYMBOLS.get(key, ""), str(key), plain(value)))
    return tuple(rows)


def plain(value: Any) -> str:
    """Return a configured value as short text."""
    if isinstance(value, float):
        return f"{value:g}"
    text = ", ".join(plain(item) for item in value) if isinstance(value, list) else str(value)
    return text if len(text) <= 200 else text[:200] + "..."


def number(value: Any) -> float | None:
    """Return a finite number, or None for what is none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        return float(value)
    return None


def shown(value: float) -> str:
    """Return a number as LaTeX."""
    text = f"{value:g}"
    if "e" not in text:
        return text
    digits, exponent = text.split("e")
    return rf"{digits} \times 10^{{{int(exponent)}}}"


def measures() -> dict[str, Any]:
    """Return the measures of error, as LaTeX."""
    return {
        "error": rf"\text{{{say('error')}}} = \frac{{\|m - r\|}}{{u \, \|r\|}}",
        "units": UNITS,
        "percent": r"100 \, \underset{i}{\max} \frac{|m_i - e_i|}{b_i}",
        "sum": r"|\text{fl}(x^T y) - x^T y| \leq \gamma_n {|x|}^T |y|",
        "gamma": r"\gamma_n = \frac{n u}{1 - n u}",
    }


def mathml(latex: str) -> str:
    """Return LaTeX as MathML."""
    from latex2mathml.converter import convert

    return convert(latex, display="block")


def inline(latex: str) -> str:
    """Return LaTeX as MathML that stands within a line."""
    from latex2mathml.converter import convert

    return convert(latex)
