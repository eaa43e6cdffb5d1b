"""Naming the mistake: each of the catalogue is made in the right operation, on the failing step's own inputs.

The mistake that reproduces the wrong tensor, as closely as rounding lets it, is named; the others are ruled out.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from compare.agreement.operations import loss_operation
from compare.agreement.rounding import layer_rule, loss_rule, update_rule
from compare.agreement.rounding.unit import norm, unit_roundoff
from compare.agreement.verdict import Finding, Verdict
from compare.diagnosis.evidence import Evidence, is_preparation, locate
from compare.diagnosis.measured import measure
from compare.diagnosis.mistakes import CATALOGUE, Mistake
from compare.diagnosis.site import Site
from compare.language import stored

# A mistake is re-enacted with at most this many operations more than the right computation has.
EXTRA_ROUNDINGS = 8


@dataclass(frozen=True)
class Diagnosis:
    """What is known of the cause."""

    suspects: list[dict[str, Any]] = field(default_factory=list)  # {"name", "residual", "about"}, best first
    ruled_out: list[str] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """A mistake that reproduces what was found; `residual` is the relative difference that remains."""

    name: str
    about: str
    residual: float
    rank: int = 0  # 0: re-enacted blindly; 1: with a quantity read off what was found; 2: with its very values


def diagnose(finding: Finding, evidence: Evidence) -> Diagnosis:
    """Return the suspects of a divergence, those ruled out, and what can be measured of it."""
    if finding.named:  # a structural check has named it
        return Diagnosis([suspect(Explanation(finding.named, CATALOGUE[finding.named].about, 0.0))])
    if finding.verdict is not Verdict.DIVERGES or finding.tensor not in evidence.manual:
        return Diagnosis()
    layers = [layer.name for layer in evidence.experiment.layers]
    name, key = locate(finding.tensor, finding.operation, layers)
    found = np.asarray(evidence.manual[finding.tensor])
    if np.issubdtype(found.dtype, np.floating):
        found = found.astype(np.float64)
    elif not np.issubdtype(found.dtype, np.integer):
        return Diagnosis()  # complex numbers, objects: the dtype itself is the mistake
    with np.errstate(all="ignore"):
        site = evidence.site(name)
        if site is None or key not in site.right:
            return Diagnosis()
        candidates = [m for m in CATALOGUE.values() if site.kind in m.on and m.key == key]
        spread = rounding_spread(evidence, name, key)
        site = replace(site, found=found, noise=2 * spread.bound(spread.u))
        explained = sorted(explanations(site, key, candidates, spread), key=lambda e: (e.rank, e.residual))
        if not explained:
            explained = sorted(pairs(site, key, candidates, spread), key=lambda e: e.residual)[:3]
        named = {part for e in explained for part in e.name.split(" + ")}
        unsettled = set() if explained else {m.name for m in candidates if possible(m, site, key, spread)}
        ruled_out = [m.name for m in candidates if m.name not in named | unsettled]
        return Diagnosis(
            [suspect(e) for e in explained], ruled_out, measure(site.right[key], found, site.x, site.noise)
        )


def suspect(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON data."""
    return {"name": explanation.name, "residual": explanation.residual, "about": explanation.about}


def explanations(site: Site, key: str, candidates: list[Mistake], spread: "Spread") -> Iterator[Explanation]:
    """Yield every mistake that reproduces what was found."""
    for candidate in candidates:
        residual = explains(candidate, site, key, spread)
        if residual is not None:
            yield Explanation(candidate.name, candidate.about, residual, 1 if candidate.precision else candidate.fitted)


def explains(
    candidate: Mistake, site: Site, key: str, spread: "Spread", unspoiled: np.ndarray | None = None
) -> float | None:
    """Return the relative difference that the re-enacted mistake leaves; None if it is more than rounding.

    `unspoiled` is the right tensor, where that of the site has a mistake in it already.
    """
    right, found = site.right[key], site.found
    if found is None:
        return None
    if candidate.precision:
        passed = np.array_equal(found.astype(lower_dtype(candidate.precision)), found)
        return lost_precision(candidate.precision, right, found, spread) if passed else None
    usual = norm(right if unspoiled is None else unspoiled)
    residuals = []
    for way in candidate.ways(site):
        if way.shape != found.shape or np.array_equal(way, right):
            continue
        size = norm(way)
        left = norm(found - way)
        grown = max(1.0, size / usual) if usual else 1.0
        allowed = spread.at(spread.u) * grown + EXTRA_ROUNDINGS * spread.u * size
        if left <= allowed:
            residuals.append(left / max(size, usual))
    return min(residuals, default=None)


def lower_dtype(u: float) -> type:
    """Return the dtype whose unit roundoff is u."""
    return next(dtype for dtype in (np.float16, np.float32) if unit_roundoff(dtype) == u)


def possible(candidate: Mistake, site: Site, key: str, spread: "Spread") -> bool:
    """Whether precision lost on the way, not in the tensor itself, might account for it: then it is not ruled out."""
    found = site.found
    if not candidate.precision or found is None:
        return False
    return lost_precision(candidate.precision, site.right[key], found, spread) is not None


def lost_precision(u: float, right: np.ndarray, found: np.ndarray, spread: "Spread") -> float | None:
    """Return the relative difference where the smaller dtype's rounding accounts for it; None where it does not."""
    if found.shape != right.shape or u <= spread.u:
        return None
    left, size = norm(found - right), norm(right)
    return left / size if size and left <= spread.at(u) + u * size else None


def pairs(site: Site, key: str, candidates: list[Mistake], spread: "Spread") -> Iterator[Explanation]:
    """Yield the pairs of mistakes, one made upon the other's result, that reproduce what was found."""
    single = [m for m in candidates if not m.fitted and not m.precision]
    for first in single:
        for way in first.ways(site):
            if way.shape != site.right[key].shape or np.array_equal(way, site.right[key]):
                continue
            spoiled = replace(site, right={**site.right, key: way})
            for second in single:
                right = site.right[key]
                residual = explains(second, spoiled, key, spread, right) if second is not first else None
                if residual is not None:
                    about = stored("{first} And: {second}", first=first.about, second=second.about)
                    yield Explanation(f"{first.name} + {second.name}", about, residual)


@dataclass(frozen=True)
class Spread:
    """How far rounding may part two correct results of one tensor of an operation, by norm, at a given u."""

    u: float
    bound: Any  # u -> elementwise bound

    def at(self, u: float) -> float:
        """Return twice the norm of the operation's rounding bound at u: once for each of the two results."""
        return 2 * norm(self.bound(u)) if math.isfinite(u) else math.inf


def rounding_spread(evidence: Evidence, name: str, key: str) -> Spread:
    """Return the spread of the tensor `key` of the operation `name`; a bound is computed once for each u."""
    spread = spread_of(evidence, name, key)
    return replace(spread, bound=functools.cache(spread.bound))


def spread_of(evidence: Evidence, name: str, key: str) -> Spread:
    """Return the same, with bounds computed anew at every call."""
    experiment = evidence.experiment
    u = unit_roundoff(experiment.training.dtype)
    if name == "batch":
        return Spread(u, lambda _: np.zeros(1))
    if name == "loss":
        op, rule = (
            loss_operation(experiment, evidence.manual),
            loss_rule(experiment.loss.kind, experiment.loss.arguments),
        )
        if key == "value":
            return Spread(u, lambda at: np.asarray(rule.forward(op, at)))
        return Spread(u, lambda at: rule.backward(op, at))
    layer = next((op for op in evidence.operations if op.name == name), None)
    if layer is not None:
        if ":" in layer.kind:  # a user's layer: the catalogue knows none of its mistakes
            return Spread(u, lambda _: np.zeros(1))
        rule_of_layer = layer_rule(layer.kind)
        return Spread(u, lambda at: rule_of_layer.bounds(layer, at).get(key, np.zeros(1)))
    if is_preparation(name):
        return Spread(u, lambda at: 8 * at * np.abs(evidence.preparations[name].right[key]))
    update, rule_of_update = evidence.updates[name], update_rule(experiment.optimizer.kind)
    if key == "updated":
        return Spread(u, lambda at: rule_of_update.updated(update, at))
    return Spread(u, lambda at: rule_of_update.state(update, at)[key])
