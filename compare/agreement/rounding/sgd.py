"""SGD: a handful of roundings a parameter."""

import numpy as np

from compare.agreement.rounding.operations import UpdateOperation
from compare.agreement.rounding.unit import gamma, norm


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

    def carry(self, op: UpdateOperation, dg: float, u: float) -> tuple[float, float]:
        """Bound by norm the differences of v' and p' where the gradient differs by `dg`; both are linear in it.

        The roundings of `state` and `updated` are bounded by the norms of their terms, without computing them.
        """
        o = op.options
        p, g = norm(op.parameter), norm(op.gradient) + o["weight_decay"] * norm(op.parameter)
        dv, v = 0.0, 0.0
        if o["momentum"]:
            damping = abs(1 - o["dampening"]) if op.state else 1.0
            dv, v = damping * dg, damping * g + o["momentum"] * norm(op.state.get("momentum_buffer", 0.0))
        ahead = o["nesterov"] or not o["momentum"]
        dd, d = (dg + o["momentum"] * dv, g + o["momentum"] * v) if ahead else (dv, v)
        return dv + 2 * gamma(7, u) * v, o["lr"] * dd + 2 * (gamma(12, u) * o["lr"] * d + u * p)
