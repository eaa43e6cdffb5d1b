"""How far rounding alone may part two correct computations of one operation: derived, not picked.

unit         u and gamma_n, from which all bounds are made
operations   what an operation's bound is computed from, and the rule an operation needs
linear, activations, losses, sgd    rules derived by hand, each bound's derivation beside its code
logits       what torch rounds in a formula of its own
running      the rule of every other class of `manual`: its own code, run on numbers that carry their errors
averaging    what a reference on several processes rounds beyond one
perturbed    the default for a layer of a user's own, and for recurrent ones: measured on the layer itself
"""

from collections.abc import Iterable, Mapping
from typing import Any

from compare.agreement.rounding.activations import LogSoftmaxRounding, ReLURounding, SigmoidRounding, TanhRounding
from compare.agreement.rounding.averaging import Averaging, widened
from compare.agreement.rounding.linear import LinearRounding
from compare.agreement.rounding.logits import of_torch
from compare.agreement.rounding.losses import (
    BCERounding,
    CrossEntropyRounding,
    NLLRounding,
    SquaredErrorRounding,
)
from compare.agreement.rounding.operations import LayerOperation, LayerRule, LossOperation, LossRule, UpdateOperation
from compare.agreement.rounding.perturbed import PerturbedRounding
from compare.agreement.rounding.running import Bounded, RunningLoss, RunningRounding, RunningUpdate
from compare.agreement.rounding.sgd import SGDRounding
from compare.agreement.rounding.unit import gamma, unit_roundoff

LAYER_RULES: dict[str, Any] = {
    "Linear": LinearRounding(),
    "Sigmoid": SigmoidRounding(),
    "Tanh": TanhRounding(),
    "ReLU": ReLURounding(),
    "LogSoftmax": LogSoftmaxRounding(),
}
LOSS_RULES: dict[str, Any] = {
    "SquaredError": SquaredErrorRounding(),
    "MSELoss": SquaredErrorRounding(),
    "CrossEntropyLoss": CrossEntropyRounding(),
    "NLLLoss": NLLRounding(),
    "BCELoss": BCERounding(),
}
UPDATE_RULES = {"SGD": SGDRounding()}


THROUGH_TIME = ("RNN", "LSTM", "GRU")  # errors run through the steps of time: absolute values would add up without end


def layer_rule(kind: str, layer: Any = None) -> LayerRule:
    """Return the rule of a class of manual, or the measured default for a user's layer.

    Recurrent layers are measured as well: a bound by absolute values grows exponentially with the number of time steps,
    and soon allows everything.
    """
    if kind in LAYER_RULES:
        return LAYER_RULES[kind]
    if ":" in kind:
        return PerturbedRounding(layer)
    return PerturbedRounding() if kind in THROUGH_TIME else RunningRounding()


def loss_rule(kind: str, arguments: Mapping[str, Any]) -> LossRule:
    """Return the rule of a loss; those derived by hand know no weights, no smoothing."""
    plain = arguments.keys() <= {"reduction", "factor"} and arguments.get("reduction") != "none"
    return LOSS_RULES[kind] if kind in LOSS_RULES and plain else RunningLoss()


def update_rule(kind: str) -> Any:
    """Return the rule of an optimizer."""
    return UPDATE_RULES[kind] if kind in UPDATE_RULES else RunningUpdate(kind)


def norms_known(layers: Iterable[str], loss: LossRule, optimizer: str) -> bool:
    """Whether all rules of a network tell how far differences are carried on by norm."""
    return all(kind in LAYER_RULES for kind in layers) and hasattr(loss, "carry") and optimizer in UPDATE_RULES


__all__ = [
    "LAYER_RULES",
    "LOSS_RULES",
    "UPDATE_RULES",
    "Averaging",
    "Bounded",
    "LayerOperation",
    "LayerRule",
    "LossOperation",
    "LossRule",
    "PerturbedRounding",
    "UpdateOperation",
    "gamma",
    "layer_rule",
    "loss_rule",
    "norms_known",
    "of_torch",
    "unit_roundoff",
    "update_rule",
    "widened",
]
