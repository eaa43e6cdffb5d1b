"""SGD: a handful of roundings a parameter."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.agreement.rounding.unit import gamma


@dataclass(frozen=True)
class UpdateOperation:
    """The update of one parameter at one step: its value before, its gradient, its state before ({}: first step)."""

    name: str
    parameter: np.ndarray
    gradient: np.ndarray
    state: Mapping[str, np.ndarray]
    options: Mapping[str, Any]  # lr, momentum, ..., weight_decay of this parameter


class SGDRounding:
    """p' = p - lr d, with d made of g, the decay and the momentum buffer v (manual.SGD)."""

    def magnitudes(self, op: UpdateOperation) -> tuple[np.ndarray, np.ndarray]:
        """Return |v'| and |d| with every term made positive: what their roundings are relative to."""
        o = op.options
        g = np.abs(op.gradient) + o["weight_decay"] * np.abs(op.parameter)
        if not o["momentum"]:
            return np.zeros_like(g), g
        before = op.state.get("momentum_buffer")
        v = g if before is None else o["momentum"] * np.abs(before) + abs(1 - o["dampening"]) * g
        return v, g + o["momentum"] * v if o["nesterov"] else v

    def state(self, op: UpdateOperation, u: float) -> dict[str, np.ndarray]:
        """gamma_7: decay rounded, multiplied, added; 1 - dampening rounded twice, multiplied; added to momentum v."""
        return {"momentum_buffer": gamma(7, u) * self.magnitudes(op)[0]}

    def updated(self, op: UpdateOperation, u: float) -> np.ndarray:
        """gamma_12 lr |d| + u |p|: d as above and Nesterov's product and sum, lr rounded and multiplied, subtracted."""
        return gamma(12, u) * op.options["lr"] * self.magnitudes(op)[1] + u * np.abs(op.parameter)

    def carry(self, op: UpdateOperation, dg: float) -> tuple[float, float]:
        """Bound by norm the changes of v' and p' when the gradient changes by `dg`; both are linear in it."""
        o = op.options
        if not o["momentum"]:
            return 0.0, o["lr"] * dg
        dv = dg if not op.state else abs(1 - o["dampening"]) * dg
        return dv, o["lr"] * (dg + o["momentum"] * dv if o["nesterov"] else dv)
