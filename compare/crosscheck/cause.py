"""Why a derivation fails: three witnesses, the mistake of the catalogue that does the same, what can be measured.

Where the reference is no entry of the catalogue, or none of its mistakes explains what was found, mistakes that can be
made in any derivation are re-enacted with the reference itself: the upstream gradient forgotten, a factor, one example.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from compare.agreement.rounding.unit import norm, unit_roundoff
from compare.agreement.witnesses import Witnesses, central_difference, complex_step, conclude
from compare.crosscheck.given import Given
from compare.crosscheck.oracle import Refused
from compare.crosscheck.trial import Failure, Tester, Trial
from compare.diagnosis.measured import measure
from compare.diagnosis.mistakes import CATALOGUE
from compare.diagnosis.reenactment import EXTRA_ROUNDINGS, Spread, explains, pairs
from compare.diagnosis.site import Site

NUDGES = 4


@dataclass(frozen=True)
class Cause:
    """What is known of the cause of a failure."""

    witnesses: dict[str, Any] | None = None
    suspects: list[dict[str, Any]] = field(default_factory=list)  # {"name", "residual", "about"}, best first
    ruled_out: list[str] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)
    at_kink: bool = False


def explain(failure: Failure, trial: Trial, tester: Tester, kind: str, arguments: Mapping[str, Any]) -> Cause:
    """Return the cause of a failure, as far as it can be known from this trial."""
    witnesses = hear(failure, trial, tester)
    heard = asdict(witnesses) if witnesses else None
    if failure.named:
        about = CATALOGUE[failure.named].about if failure.named in CATALOGUE else failure.reason
        return Cause(heard, [{"name": failure.named, "residual": 0.0, "about": about}])
    if failure.check != "values" or failure.found is None or failure.wanted is None:
        return Cause(heard)
    site, key = site_of(failure, trial, tester, kind, arguments)
    found = np.asarray(failure.found, np.float64)
    bound = tester.bounds(trial.given, trial.dtype, trial.wanted)()[0][failure.tensor]
    u = unit_roundoff(trial.dtype)
    spread = Spread(u, lambda at: bound * (at / u))
    site = replace(site, found=found, noise=2 * bound)
    facts = measure(np.asarray(failure.wanted), found, site.x, site.noise)
    candidates = [m for m in CATALOGUE.values() if site.kind in m.on and m.key == key]
    suspects = known_mistakes(site, key, candidates, spread)
    if not suspects:
        suspects = [
            {"name": name, "residual": residual, "about": about}
            for name, about, residual in general_mistakes(failure, trial, tester, bound)
        ]
    named = {part for suspect in suspects for part in suspect["name"].split(" + ")}
    ruled_out = [m.name for m in candidates if m.name not in named]
    return Cause(heard, suspects, ruled_out, facts, only_at_kinks(failure, trial, tester))


def known_mistakes(site: Site, key: str, candidates: list[Any], spread: Spread) -> list[dict[str, Any]]:
    """Return the mistakes of the catalogue that reproduce what was found, or the pairs of them; best first."""
    found = []
    for mistake in candidates:
        try:
            residual = explains(mistake, site, key, spread)
        except Exception:  # a mistake made for networks may not be made on these shapes
            continue
        if residual is not None and np.isfinite(residual):
            rank = 1 if mistake.precision else mistake.fitted
            found.append((rank, residual, {"name": mistake.name, "residual": residual, "about": mistake.about}))
    if found:
        return [suspect for _, _, suspect in sorted(found, key=lambda entry: entry[:2])]
    try:
        double = sorted(pairs(site, key, candidates, spread), key=lambda e: e.residual)[:3]
    except Exception:
        return []
    return [{"name": e.name, "residual": e.residual, "about": e.about} for e in double if np.isfinite(e.residual)]


def site_of(
    failure: Failure, trial: Trial, tester: Tester, kind: str, arguments: Mapping[str, Any]
) -> tuple[Site, str]:
    """Return the site of the failing operation, and the key of the tensor in it: see compare.diagnosis.site."""
    given, wanted = trial.given, trial.wanted
    first, x = next(iter(given.inputs.items()))
    known = {entry.name for entry in fields(Site)}
    extra = {"arguments": dict(arguments), "buffers": given.buffers, "drawn": given.drawn,
             "training": getattr(tester.subject, "training", True)}  # fmt: skip
    common: dict[str, Any] = {key: value for key, value in extra.items() if key in known}
    if tester.subject.kind == "update":
        return update_site(failure, trial, kind, arguments, common)
    if tester.subject.kind == "loss":
        target = given.inputs.get("target", np.zeros(0))
        labels = target if target.dtype.kind in "iu" else None
        rows = np.eye(x.shape[1])[labels] if labels is not None and x.ndim == 2 and labels.ndim == 1 else target
        right = {"value": wanted["loss"], "gradient": wanted[f"{first}.grad"]}
        site = Site("loss", kind, x, right, target=rows, labels=labels, nominal=len(x) if x.ndim else 1, **common)
        return site, "value" if failure.tensor == "loss" else "gradient"
    keys = {f"{first}.grad": "input"} | {f"{name}.grad": name for name in given.parameters}
    right = {keys.get(name, name.removesuffix(".grad")): array for name, array in wanted.items()}
    output = wanted.get("output", wanted.get("output0"))
    above = given.upstream[0] if given.upstream else None
    site = Site(
        "layer", kind, x, right, y=output, dy=above, parameters=given.parameters,
        nominal=len(x) if x.ndim else 1, **common,
    )  # fmt: skip
    return site, keys.get(failure.tensor, failure.tensor.removesuffix(".grad"))


def update_site(
    failure: Failure, trial: Trial, kind: str, arguments: Mapping[str, Any], common: dict[str, Any]
) -> tuple[Site, str]:
    """Return the site of one parameter's update at the failing step; the steps before it agreed."""
    step, name, key = failure.tensor.split(".", 2)
    number, names = int(step.removeprefix("step")), list(trial.given.inputs)
    gradient = trial.given.upstream[(number - 1) * len(names) + names.index(name)]
    before = f"step{number - 1}.{name}."
    parameter = trial.wanted.get(f"{before}updated", trial.given.inputs[name])
    state = {k.removeprefix(before): v for k, v in trial.wanted.items() if k.startswith(before)}
    state.pop("updated", None)
    now = f"step{number}.{name}."
    right = {k.removeprefix(now): v for k, v in trial.wanted.items() if k.startswith(now)}
    defaults = {"momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False} if kind == "SGD" else {}
    options: dict[str, Any] = {**defaults, **arguments}
    options.setdefault("decay_of_weights", options.get("weight_decay", 0.0))
    lr = options.setdefault("lr", 1e-3)
    return Site(name, kind, parameter, right, dy=gradient, state=state, options=options, lr=lr, **common), key


def general_mistakes(
    failure: Failure, trial: Trial, tester: Tester, bound: np.ndarray
) -> Iterator[tuple[str, str, float]]:
    """Yield the mistakes of any derivation that reproduce what was found: name, what it is, what remains."""
    found, right = np.asarray(failure.found, np.float64), np.asarray(failure.wanted)
    u = unit_roundoff(trial.dtype)
    for name, about, make in generally(failure.tensor, trial, tester):
        way = make()
        if way is None or not np.isfinite(way).all() or way.shape != found.shape or np.array_equal(way, right):
            continue
        size, usual = norm(way), norm(right)
        left = norm(found - way)
        grown = max(1.0, size / usual) if usual else 1.0
        if left <= 2 * norm(bound) * grown + EXTRA_ROUNDINGS * u * size:
            yield name, about, left / max(size, usual)


Way = Callable[[], "np.ndarray | None"]


def generally(tensor: str, trial: Trial, tester: Tester) -> Iterator[tuple[str, str, Way]]:
    """Yield mistakes that can be made in any derivation, and how each goes."""
    given, right = trial.given, trial.wanted[tensor]
    x = next(iter(given.inputs.values()))
    n = len(x) if x.ndim else 1
    k = x.size // n if n else 1
    above = given.upstream[0] if given.upstream else None
    gradient = tensor.endswith(".grad")
    layer = gradient and above is not None and tester.subject.kind in ("layer", "function")
    if layer and above is not None:
        yield "derivative-missing", "The derivative is left out: the gradient from above is handed on.", lambda: above
        yield ("upstream-gradient-forgotten", "The gradient from above is left out: the chain rule stops here.",
               lambda: other(tester, given.with_upstream(np.ones_like), tensor))  # fmt: skip
    yield from (
        (name, about, lambda factor=factor: right * factor)
        for name, about, factor in (
            ("sign-flipped", "The wrong sign.", -1.0),
            ("doubled", "Twice too large: a factor 2 too many, or a 1/2 lost.", 2.0),
            ("halved", "Half as large: a factor 2 lost, or a 1/2 too many.", 0.5),
            ("averaged-over-batch", "Divided by N, the number of examples, once too often.", 1 / n),
            ("summed-instead-of-averaged", "Not divided by N, the number of examples.", float(n)),
            ("divided-by-outputs", "Divided by the number of values of an example.", 1 / max(k, 1)),
            ("multiplied-by-outputs", "Multiplied by the number of values of an example.", float(k)),
            ("all-zero", "Zeros: it is never filled in.", 0.0),
        )
    )
    if right.ndim == 2 and right.shape[0] == right.shape[1]:
        yield "transposed", "Transposed: a square matrix lets it pass.", lambda: right.T
    if not layer or above is None:
        return
    slope: Way = lambda: other(tester, given.with_upstream(np.ones_like), tensor)  # noqa: E731
    yield "derivative-twice", "The derivative is applied twice.", lambda: product(right, slope())
    yield "times-input", "Multiplied by the input instead of the derivative.", lambda: product(above, x)
    yield ("times-output", "Multiplied by the output instead of the derivative.",
           lambda: product(above, trial.wanted.get("output")))  # fmt: skip
    yield ("derivative-taken-of-output", "The derivative is evaluated at the output instead of the input.",
           lambda: at_output(tester, trial, tensor))  # fmt: skip
    if n > 1 and above.ndim and len(above) == n:
        for name, about, keep in (
            ("last-example-only", "The last example overwrites the sum over the batch.", [n - 1]),
            ("first-example-only", "The sum over the batch stops after the first example.", [0]),
            ("last-example-missing", "The sum over the batch leaves out the last example.", list(range(n - 1))),
        ):
            yield name, about, lambda keep=keep: other(tester, given.with_upstream(lambda g: only(g, keep)), tensor)


def only(gradient: np.ndarray, rows: list[int]) -> np.ndarray:
    """Return the gradient with all rows but these set to zero: backward is linear, so these examples alone count."""
    kept = np.zeros_like(gradient)
    kept[rows] = gradient[rows]
    return kept


def product(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    """Return a * b of equal shapes, None of others."""
    return a * b if a is not None and b is not None and a.shape == b.shape else None


def other(tester: Tester, given: Given, tensor: str) -> np.ndarray | None:
    """Return the reference's tensor on other arrays."""
    return tester.reference(given).get(tensor)


def at_output(tester: Tester, trial: Trial, tensor: str) -> np.ndarray | None:
    """Return the gradient of the reference at its own output."""
    name, x = next(iter(trial.given.inputs.items()))
    output = trial.wanted.get("output")
    if output is None or output.shape != x.shape:
        return None
    return other(tester, replace(trial.given, inputs={**trial.given.inputs, name: output}), tensor)


def only_at_kinks(failure: Failure, trial: Trial, tester: Tester) -> bool:
    """Whether the tensor agrees as soon as the inputs are moved a little off where they are."""
    for sample in range(NUDGES):
        rng = np.random.default_rng(sample)
        inputs = {
            name: x + 1e-4 * (1 + np.abs(x)) * rng.uniform(0.5, 1, x.shape) * rng.choice((-1, 1), x.shape)
            if x.dtype.kind == "f" else x
            for name, x in trial.given.inputs.items()
        }  # fmt: skip
        try:
            again = tester.try_on(replace(trial.given, inputs=inputs), trial.dtype, None)
        except Refused:
            return False
        if any(other.tensor == failure.tensor for other in again.failures):
            return False
    return True


def hear(failure: Failure, trial: Trial, tester: Tester) -> Witnesses | None:
    """Return the witnesses of a failing gradient, None of another tensor."""
    source = failure.tensor.removesuffix(".grad")
    arrays = trial.given.arrays()
    if not failure.tensor.endswith(".grad") or failure.index is None or tester.subject.kind == "update":
        return None
    if source not in arrays or failure.manual is None or failure.reference is None or failure.check in ("zero",):
        return None
    scalar = tester.subject.scalar(trial.given, source, failure.index)

    def value(change: Any) -> Any:
        try:
            return scalar(change)
        except Exception as error:
            raise TypeError(str(error)) from None

    autograd = float(trial.wanted[failure.tensor][failure.index])
    with np.errstate(all="ignore"):
        by_complex, (central, error) = complex_step(value), central_difference(value)
    if by_complex is not None and central is not None and error is not None:
        # A pass that is no analytic function (an absolute value) makes the complex step a false witness.
        by_complex = by_complex if abs(by_complex - central) <= 10 * error + 1e-6 * abs(central) else None
    said = conclude(failure.manual, autograd, by_complex, central, error)
    return Witnesses(failure.tensor, failure.index, failure.manual, autograd, by_complex, central, error, said)
