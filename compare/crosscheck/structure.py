"""What must hold of a derivation whatever the values are, asked on copies of the same arrays."""

from collections.abc import Iterator

import numpy as np

from compare.crosscheck.bounds import Results, values
from compare.crosscheck.given import Given
from compare.crosscheck.subject import strided
from compare.crosscheck.trial import Failure, Tester, Trial
from compare.language import stored

RULES = {
    "runs": "forward and backward run",
    "returns": "every gradient is returned",
    "shapes": "every tensor has its shape, nothing is broadcast",
    "dtypes": "the dtype of the inputs is kept",
    "unchanged": "inputs and gradients from above are left as they were",
    "repeatable": "two calls are equal to the bit",
    "forgets": "nothing is left of the call before",
    "zero": "a gradient from above of zero gives exact zeros",
    "doubling": "a gradient from above twice as large gives gradients twice as large",
    "strided": "arrays that do not lie in one piece give the same",
    "batch": "batch sizes 1, 2 and 7",
}


def check_structure(tester: Tester, trial: Trial, before: Given | None) -> Iterator[Failure]:
    """Yield what does not hold on the arrays of a trial; `before` are those of another."""
    subject, given = tester.subject, trial.given.cast(trial.dtype)
    outcome = subject.run(given)
    if outcome.faults:
        return
    once = values(outcome, trial.wanted)
    for name, array in values(subject.run(given), trial.wanted).items():
        if name in once and not np.array_equal(array, once[name], equal_nan=True):
            reason = stored("{tensor} is not the same when it is computed twice.", tensor=name)
            yield broken(trial, name, "repeatable", reason, array, once)
            return
    if before is not None:
        yield from remembered(tester, trial, before.cast(trial.dtype), once)
    if given.upstream and subject.kind in ("layer", "function"):
        yield from linear(tester, trial, given, once)
    lying = Trial(trial.given, trial.dtype, trial.wanted)
    tester.judge(lying, subject.run(given, lay=strided), False)
    known = {failure.tensor for failure in trial.failures}
    for failure in lying.failures:
        if failure.tensor not in known:
            reason = stored("With arrays that do not lie in one piece in memory: {reason}", reason=failure.reason)
            yield Failure(failure.tensor, reason, trial.dtype, "strided", failure.index, failure.manual,
                          failure.reference, failure.error, failure.bound)  # fmt: skip


def remembered(tester: Tester, trial: Trial, before: Given, once: Results) -> Iterator[Failure]:
    """Yield the tensors that come out otherwise in a second call of the same object."""
    outcome = tester.subject.again(before, trial.given.cast(trial.dtype))
    for fault in outcome.faults:
        reason = stored("In a second call: {reason}", reason=fault.sentence)
        yield Failure(fault.tensor, reason, trial.dtype, "forgets", named=fault.named)
    first = values(tester.subject.run(before), values(tester.subject.run(before), once) | once)
    for name, array in values(outcome, trial.wanted).items():
        if name not in once or np.array_equal(array, once[name], equal_nan=True):
            continue
        piled = name in first and first[name].shape == array.shape and np.allclose(array, once[name] + first[name])
        if piled:
            reason = stored(
                "{tensor} is the sum of this call's and of the call's before: gradients pile up.", tensor=name
            )
            named = "gradient-not-zeroed"
        else:
            reason = stored("{tensor} depends on the call before: something is still in the cache.", tensor=name)
            named = "cache-of-previous-batch"
        yield broken(trial, name, "forgets", reason, array, once, named)


def linear(tester: Tester, trial: Trial, given: Given, once: Results) -> Iterator[Failure]:
    """Yield the gradients that are not linear in the gradient from above."""
    gradients = {name: array for name, array in once.items() if name.endswith(".grad")}
    nothing = values(tester.subject.run(given.with_upstream(np.zeros_like)), gradients)
    for name, array in nothing.items():
        if np.isfinite(array).all() and (array != 0).any():
            reason = stored(
                "{tensor} is not zero where the gradient from above is: backward must be linear in it.", tensor=name
            )
            yield broken(trial, name, "zero", reason, array, {name: np.zeros_like(array)})
    twice = values(tester.subject.run(given.with_upstream(lambda g: g * 2)), gradients)
    for name, array in twice.items():
        wanted = 2 * gradients[name]
        if np.isfinite(wanted).all() and not np.allclose(array, wanted, rtol=1e-5, atol=1e-30):
            reason = stored(
                "{tensor} does not double where the gradient from above does: backward must be linear in it.",
                tensor=name,
            )
            yield broken(trial, name, "doubling", reason, array, {name: wanted})


def broken(
    trial: Trial, name: str, rule: str, reason: str, found: np.ndarray, wanted: Results, named: str = ""
) -> Failure:
    """Return the failure of a rule, at the element where most is amiss."""
    off = np.abs(np.asarray(found - wanted[name], np.float64))
    index = tuple(int(i) for i in np.unravel_index(np.argmax(np.where(np.isnan(off), np.inf, off)), off.shape))
    return Failure(name, reason, trial.dtype, rule, index, float(found[index]), float(wanted[name][index]),
                   float(off[index]), 0.0, named)  # fmt: skip
