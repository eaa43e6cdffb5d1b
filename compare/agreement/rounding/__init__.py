"""How far rounding alone may part two correct computations of one operation: derived, not picked.

unit         u and gamma_n, from which all bounds are made
operations   what an operation's bound is computed from, and the rule an operation needs
linear, activations, losses, sgd    the rules, one a class of `manual`, each bound's derivation beside its code
    perturbed    the default for a layer of a user's own: measured on the layer itself
"""

from typing import Any

from compare.agreement.rounding.activations import LogSoftmaxRounding, ReLURounding, SigmoidRounding, TanhRounding
from compare.agreement.rounding.linear import LinearRounding
from compare.agreement.rounding.losses import (
    BCERounding,
    CrossEntropyRounding,
    NLLRounding,
    SquaredErrorRounding,
)
from compare.agreement.rounding.operations import LayerOperation, LayerRule, LossOperation, LossRule
from compare.agreement.rounding.perturbed import PerturbedRounding
from compare.agreement.rounding.sgd import SGDRounding, UpdateOperation
from compare.agreement.rounding.unit import gamma, unit_roundoff

LAYER_RULES: dict[str, LayerRule] = {
    "Linear": LinearRounding(),
    "Sigmoid": SigmoidRounding(),
    "Tanh": TanhRounding(),
    "ReLU": ReLURounding(),
    "LogSoftmax": LogSoftmaxRounding(),
}
LOSS_RULES: dict[str, LossRule] = {
    "SquaredError": SquaredErrorRounding(),
    "MSELoss": SquaredErrorRounding(),
    "CrossEntropyLoss": CrossEntropyRounding(),
    "NLLLoss": NLLRounding(),
    "BCELoss": BCERounding(),
}
UPDATE_RULES = {"SGD": SGDRounding()}


def layer_rule(kind: str, layer: Any = None) -> LayerRule:
    """Return the derived rule of a class of manual, or the measured default for a user's layer."""
    return LAYER_RULES[kind] if kind in LAYER_RULES else PerturbedRounding(layer)


__all__ = [
    "LAYER_RULES",
    "LOSS_RULES",
    "UPDATE_RULES",
    "LayerOperation",
    "LayerRule",
    "LossOperation",
    "LossRule",
    "PerturbedRounding",
    "UpdateOperation",
    "gamma",
    "layer_rule",
    "unit_roundoff",
]
