"""An explanation as data: what `backproof explain --json` prints. Names and formulas, no prose."""

from typing import TYPE_CHECKING, Any

from compare.explain.chain import Factor, Link, Term, path
from compare.explain.onward import onward
from compare.explain.selection import element
from compare.explain.update import Change, Update

if TYPE_CHECKING:
    from compare.explain.explanation import Explanation, Output

WITNESSES = ("autograd", "complex_step", "central_difference")


def as_data(e: "Explanation") -> dict[str, Any]:
    """Return an explanation as data."""
    moment, gradient = e.moment, e.gradient
    return {
        "experiment": moment.experiment.name,
        "step": moment.step,
        "sample": moment.sample,
        "label": moment.dataset.classes[moment.label],
        "batch": len(moment.trace["input"]),
        "weight": e.weight,
        "value": e.value,
        "gradient": {"manual": gradient.manual, **{name: getattr(gradient, name) for name in WITNESSES}},
        "digits": {name: gradient.digits(name) for name in WITNESSES},
        "dtype": "float64",
        "product": e.product,
        "kink": gradient.kink,
        "factors": [factor_data(factor) for factor in e.factors],
        "chain": [link_data(link) for link in e.links],
        "forward": [{"tensor": element(name, index), "value": value} for name, index, value in path(e.links)],
        "loss": moment.loss,
        "outputs": [output_data(output) for output in e.outputs],
        "update": update_data(e.update),
        "selection": {
            "name": str(e.selection),
            "elements": [
                {"weight": element(e.selection.parameter, index), "value": value, "gradient": slope}
                for index, value, slope in e.selected
            ],
        },
        "next": [suggestion.command for suggestion in onward(e)],
        "image": moment.pixels.tolist(),
    }


def factor_data(factor: Factor) -> dict[str, Any]:
    """Return one factor as data; a sum with the terms that make it."""
    data = source_data(factor.link) | {"value": factor.value, "sum": factor.is_sum}
    return data | {"terms": [term_data(factor.link, term) for term in factor.link.terms]} if factor.is_sum else data


def link_data(link: Link) -> dict[str, Any]:
    """Return one link of the chain as data."""
    followed = link.followed
    return source_data(link) | {
        "value": link.value,
        "gradient": link.gradient,
        "ways": len(link.terms),
        "followed": term_data(link, followed) if followed else None,
    }


def source_data(link: Link) -> dict[str, Any]:
    """Return what a link is, its formula, and the line of code that computes it."""
    line = link.line
    return {
        "of": link.name,
        "through": link.layer,
        "kind": link.kind,
        "formula": link.rule.formula,
        "equation": link.rule.equation,
        "code": {"file": line.file, "line": line.line, "text": line.text} if line else None,
    }


def term_data(link: Link, term: Term) -> dict[str, Any]:
    """Return one term as data: the slope of an output, and the error that has arrived there."""
    return {
        "tensor": element(link.output, term.index), "value": term.value, "slope": term.slope,
        "arriving": term.arriving, "product": term.product,
    }  # fmt: skip


def output_data(output: "Output") -> dict[str, Any]:
    """Return one output beside its target."""
    return {
        "class": output.name, "output": output.output, "prediction": output.prediction, "target": output.target,
        "difference": output.difference,
    }  # fmt: skip


def update_data(update: Update) -> dict[str, Any]:
    """Return the update as data."""
    return {
        "rule": update.rule, "lr": update.lr, "before": update.before, "after": update.after, "change": update.change,
        "cost": {"this weight alone": change_data(update.alone), "all weights": change_data(update.together)},
    }  # fmt: skip


def change_data(change: Change) -> dict[str, float]:
    """Return a change of the cost as data."""
    return {"predicted": change.predicted, "real": change.real}
