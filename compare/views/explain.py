"""An explanation on the console: the image and its outputs, forward, the chain back, its witnesses, the update."""

from collections.abc import Iterator

import numpy as np
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from compare.explain.chain import Link, path
from compare.explain.explanation import ALL_DIGITS, Explanation, Output
from compare.explain.onward import onward
from compare.explain.rules import forward_rule
from compare.explain.selection import element
from compare.language import say

MOST_TERMS = 10  # of a sum, in a table
MOST_ELEMENTS = 8  # of a selection
BAR = 10  # characters that an output of 1 fills
WIDTH = 118  # of a page that is no terminal
LONGEST_HEAD = 8  # of a formula above a column


def show_explanation(e: Explanation, console: Console | None = None) -> None:
    """Print an explanation, in the order of the data: forward, backward, the update."""
    console = console or Console()
    if not console.is_terminal:
        console.width = WIDTH  # a file or a pipe has no width of its own: room for every column
    for section in (heading, outputs, forward, product, way_of_sum, witnesses, update):
        console.print(Group(*section(e)), highlight=False)
    console.print(title(say("What to look at next")))
    for suggestion in onward(e):
        console.print(Text(f"  {suggestion.command}"), soft_wrap=True)  # to be copied: no line's end of ours in it
        console.print(Text(f"      {suggestion.why}", style="dim"))


def title(text: str) -> Text:
    """Return a section's title, below an empty line."""
    return Text(f"\n{text}", style="bold")


def plain_table(*columns: str, right: tuple[int, ...] = ()) -> Table:
    """Return an empty table without lines; the columns of these numbers are set to the right."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_header=any(columns), padding=(0, 2, 0, 0))
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place in right else "left", overflow="fold")
    return table


def heading(e: Explanation) -> Iterator[Text | Table]:
    """Yield what is explained: the weight, the network, the step, the image."""
    moment = e.moment
    yield Text.assemble((e.weight, "bold"), f" = {e.value:.6g}")
    yield Text(
        say(
            "{experiment}, the weights before step {step}; training image {sample}, a {label}; its cost C = {cost:.6f}",
            experiment=moment.experiment.name, step=f"{moment.step:,}", sample=f"{moment.sample:,}",
            label=moment.dataset.classes[moment.label], cost=moment.loss,
        )
    )  # fmt: skip
    if not moment.alone:
        yield Text(
            say(
                "A layer mixes the examples of a batch, so an image alone has no cost: C is that of the {count} images "
                "of the step's batch, this one first.",
                count=len(moment.trace["input"]),
            )
        )
    if not e.selection.single:
        yield from selection(e)


def selection(e: Explanation) -> Iterator[Text | Table]:
    """Yield the largest gradients of what was named, where that is more than one weight."""
    rows = e.selected
    yield title(say("{name}: {count} weights, the largest gradients", name=e.selection, count=f"{len(rows):,}"))
    table = plain_table(say("weight"), say("value"), "dC/dw", right=(1, 2))
    for index, value, gradient in rows[:MOST_ELEMENTS]:
        table.add_row(element(e.selection.parameter, index), f"{value:.6f}", f"{gradient:.6e}")
    yield table
    zeros = sum(gradient == 0 for _, _, gradient in rows)
    yield Text(say("{zeros} of the {count} gradients are 0.", zeros=f"{zeros:,}", count=f"{len(rows):,}"), style="dim")


def outputs(e: Explanation) -> Iterator[Text | Table]:
    """Yield the image beside the network's outputs, the target, and their difference."""
    yield title(say("The image and what the network makes of it"))
    rows, row = e.rows
    if rows > 1:
        yield Text(say("Row {row} of {rows}, the one that the chain ends in.", row=row, rows=rows), style="dim")
    both = Table.grid(padding=(0, 4))
    both.add_row(Text(picture(e.moment.pixels), no_wrap=True), output_table(e.outputs))
    yield both


def picture(pixels: np.ndarray) -> str:
    """Return an image as text: a character for two pixels, one above the other; inked from half of the range on."""
    ink = np.pad(pixels >= 128, ((0, len(pixels) % 2), (0, 0)))
    pairs = zip(ink[::2], ink[1::2], strict=True)
    return "\n".join("".join(" ▄▀█"[2 * up + low] for up, low in zip(*pair, strict=True)) for pair in pairs)


def output_table(rows: list[Output]) -> Table:
    """Return the outputs with bars, the target, and the difference."""
    logits = any(row.output != row.prediction for row in rows)
    names = (
        say("class"),
        *((say("output"),) if logits else ()),
        say("prediction"),
        "",
        say("target"),
        say("difference"),
    )
    table = plain_table(*names, right=(1, len(names) - 2, len(names) - 1))
    for row in rows:
        bar = "█" * round(BAR * min(1.0, max(0.0, row.prediction)))
        shown = (f"{row.output:.4f}",) if logits else ()
        table.add_row(row.name, *shown, f"{row.prediction:.4f}", bar, f"{row.target:g}", f"{row.difference:+.4f}")
    return table


def forward(e: Explanation) -> Iterator[Text | Table]:
    """Yield the numbers on the way from the weight to the cost."""
    yield title(say("Forward: what the weight moves, on its way to the cost"))
    table = plain_table(say("tensor"), say("number"), say("how it is computed"), right=(1,))
    network, numbers = e.moment.manual.network, list(path(e.links))
    for place, (tensor, index, value) in enumerate(numbers):
        link = e.links[place - 1] if place else None
        made = (network.loss_function if link.layer == "loss" else network.layers[link.layer]) if link else None
        rule = forward_rule(made) if made is not None else None
        said = cited(rule.said, rule.equation) if rule else (link.kind if link else "")
        table.add_row(element(tensor, index), f"{value:.6f}", said)
    yield table
    if any(len(index) > 1 for _, index, _ in numbers[1:]):
        yield Text(say("The first index of an output counts the examples of the batch, from 0."), style="dim")


def cited(formula: str, equation: int | None) -> str:
    """Return a formula with its equation's number."""
    return f"{formula}   ({equation})" if equation else formula


def product(e: Explanation) -> Iterator[Text | Table]:
    """Yield the factors of the gradient and their product."""
    yield title(say("Backward: the chain rule, factor by factor"))
    table = plain_table("", say("factor"), say("number"), say("computed in"), right=(2,))
    for place, factor in enumerate(e.factors):
        formula = sum_of(factor.link) if factor.is_sum else with_numbers(e, factor.link)
        table.add_row("×" if place else "", formula, f"{factor.value:+.6e}", str(factor.link.line or ""))
    table.add_row("=", Text(f"dC/d {e.weight}", style="bold"), Text(f"{e.gradient.manual:+.6e}", style="bold"), "")
    yield table
    if not e.consistent:
        product = f"{e.product:.6e}"
        wrong = say(
            "The factors' product is {product}: the backward pass is not that of the forward pass.", product=product
        )
        yield Text(wrong, style="bold")
    if not e.links[0].terms:
        yield Text(say("The weight moves nothing on this image: what it would multiply does not occur."))
    elif zero := next((f.link for f in e.factors if f.value == 0), None):
        yield Text(say("The factor of {number} is 0, and so is the product.", number=zero.name))
        if zero is e.links[0] and zero.layer == next(iter(e.moment.manual.network.layers)):
            yield Text(
                say("What this weight is multiplied by is 0: a pixel without ink. This image says nothing about it.")
            )
    for line in dict.fromkeys(factor.link.line for factor in e.factors):
        if line:
            yield Text(f"  {line}  {line.text}", style="dim", no_wrap=True, overflow="ellipsis")
    yield Text(
        say("A formula is for one number, the line for all at once: so they cite different equations."), style="dim"
    )


def with_numbers(e: Explanation, link: Link) -> str:
    """Return the formula of a slope with its equation, and what stands in it here, where that is short to tell."""
    formula, term = link.rule.said, link.followed
    if term is not None and link.kind == "Sigmoid":
        formula += f" = {term.value:.6f} (1 − {term.value:.6f})"
    elif term is not None and link.kind == "Tanh":
        formula += f" = 1 − {term.value:.6f}²"
    elif link.layer == "loss" and len(e.outputs) > link.index[-1]:
        output, loss = e.outputs[link.index[-1]], e.moment.manual.network.loss_function
        n = getattr(loss, "divisor", len(e.moment.trace[link.tensor]))
        if link.rule.formula.endswith("(a − t) / N") or (link.kind == "CrossEntropyLoss" and link.rule.equation == 34):
            formula += f" = ({output.prediction:.6f} − {output.target:.0f}) / {float(n):g}"
    return cited(formula, link.rule.equation)


def sum_of(link: Link) -> str:
    """Return the formula of a sum: over the outputs of the layer, slope times what has arrived there."""
    equation = f"   ({link.rule.equation})" if link.rule.equation else ""
    slope = link.rule.said.partition(" = ")[0]
    return f"Σ {slope} · dC/d {link.output}" + equation


def way_of_sum(e: Explanation) -> Iterator[Text | Table]:
    """Yield every sum on the chain as a table, largest term first; the chain goes on with one of them."""
    for link in e.links:
        if link.is_sum:
            yield from sum_table(link)
        elif link.followed and link is not e.links[0]:
            term = link.followed
            product = "" if link.layer == "loss" else f"{term.slope:+.6e} · {term.arriving:+.6e} = "
            yield Text(f"dC/d {link.name} = {product}{link.gradient:+.6e}     {with_numbers(e, link)}")


def sum_table(link: Link) -> Iterator[Text | Table]:
    """Yield the terms of a sum, largest first."""
    yield title(
        say(
            "{number} acts in {ways} ways, and their effects add up: the sum over {output}, largest first",
            number=link.name, ways=f"{len(link.terms):,}", output=cited(link.output, link.rule.equation),
        )
    )  # fmt: skip
    left, _, short = link.rule.said.partition(" = ")
    slope = f"{left} = {short}" if len(short) <= LONGEST_HEAD else left
    table = plain_table(link.output, slope, f"dC/d {link.output}", say("product"), right=(1, 2, 3))
    for place, term in enumerate(link.terms[:MOST_TERMS]):
        style = "bold" if place == link.way else ""
        numbers = (f"{term.slope:+.6f}", f"{term.arriving:+.6e}", f"{term.product:+.6e}")
        table.add_row(element("", term.index), *numbers, style=style)
    rest = link.terms[MOST_TERMS:]
    if rest:
        others = say("{count} others", count=f"{len(rest):,}")
        table.add_row(others, "", "", f"{sum(term.product for term in rest):+.6e}")
    table.add_row(Text(say("sum"), style="bold"), "", "", Text(f"{link.gradient:+.6e}", style="bold"))
    yield table
    if link.followed:
        followed = element(link.output, link.followed.index)
        yield Text(say("On with {number}: where its error comes from", number=followed), style="dim")


def witnesses(e: Explanation) -> Iterator[Text | Table]:
    """Yield the same derivative from autograd, the complex step, and central differences."""
    yield title(say("The same derivative, four times"))
    gradient = e.gradient
    table = plain_table("", "", "", right=(1,))
    table.add_row(say("by hand (manual)"), f"{gradient.manual:+.16e}", "")
    spoken = {
        "autograd": say("autograd (PyTorch)"), "complex_step": say("complex step"),
        "central_difference": say("central differences, extrapolated"),
    }  # fmt: skip
    for name, said in spoken.items():
        value, digits = getattr(gradient, name), gradient.digits(name)
        if value is None or digits is None:
            table.add_row(said, "", say("cannot speak: the forward pass does not carry such numbers"))
            continue
        agreement = say("equal") if digits == ALL_DIGITS else say("agrees to {digits} digits", digits=digits)
        table.add_row(said, f"{value:+.16e}", agreement)
    yield table
    if gradient.kink:
        yield Text(
            say(
                "The cost has a kink here: a ReLU's input or a maximum stands exactly at it, and each side has a slope "
                "of its own. By hand and by autograd one of them is taken, by differences the mean of both."
            )
        )


def update(e: Explanation) -> Iterator[Text | Table]:
    """Yield what the step changes: the cost as the gradient predicts it, and as it comes."""
    u = e.update
    yield title(say("The update: {rule}, learning rate {rate:g}", rule=u.rule, rate=u.lr))
    if e.moment.alone:
        yield Text(say("On this image alone; the training takes the mean over a batch."), style="dim")
    yield Text(f"{e.weight}: {u.before:+.6f} → {u.after:+.6f}   ({u.change:+.3e})")
    table = plain_table("", say("change of the cost that the gradient predicts"), say("that comes"), right=(1, 2))
    for said, change in ((say("this weight alone"), u.alone), (say("all weights together"), u.together)):
        table.add_row(said, f"{change.predicted:+.6e}", f"{change.real:+.6e}")
    yield table
    yield Text(
        say(
            "The gradient is a tangent: it predicts a small step well, and a large one as far as the cost is straight."
        ),
        style="dim",
    )
