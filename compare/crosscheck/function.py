"""The candidate as a torch.autograd.Function of the user's own: forward and backward in torch."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from compare.crosscheck.given import Given
from compare.crosscheck.subject import (
    Fault,
    Lay,
    LayerSubject,
    Outcome,
    describe,
    gradient_names,
    leaves,
    named,
    strided,
)


class FunctionSubject(LayerSubject):
    """A subclass of torch.autograd.Function, called by `apply` with the inputs and then the constant arguments."""

    kind = "function"

    def __init__(self, candidate: type[torch.autograd.Function], constants: Iterable[Any] = ()):
        self.candidate, self.constants = candidate, tuple(constants)
        self.name = candidate.__name__
        self.parameters, self.buffers, self.outputs, self.drawer = {}, {}, 1, None

    def count(self, given: Given) -> None:
        """Note how many outputs there are."""
        try:
            made = self.candidate.apply(*tensors(given), *self.constants)
            self.outputs = len(leaves(made))
        except Exception:
            self.outputs = 1

    def run(self, given: Given, layer: Any = None, lay: Lay = np.copy) -> Outcome:
        """Run apply, and let autograd call the user's backward."""
        outcome, returned = Outcome(), []
        inputs, names = tensors(given, lay is strided), gradient_names(given, ())
        try:
            made = leaves(watched(self.candidate, returned).apply(*inputs, *self.constants))
        except Exception as error:
            outcome.faults.append(Fault(named(self.outputs)[0], f"{self.name}.forward raised {describe(error)}"))
            return outcome
        outcome.tensors |= {n: as_array(y) for n, y in zip(named(self.outputs), made, strict=False)}
        self.unchanged("forward", arrays(inputs, given), given.inputs, outcome)
        if not given.upstream or not names:
            return outcome
        above = [torch.tensor(array) for array in given.upstream]
        try:
            wanted = [inputs[list(given.inputs).index(name)] for name in names]
            torch.autograd.grad(made[: len(above)], wanted, above, allow_unused=True)
        except Exception as error:
            if not returned:  # torch's own complaint about what was returned is told better below
                outcome.faults.append(Fault(f"{names[0]}.grad", f"{self.name}.backward raised {describe(error)}"))
                return outcome
        if not returned:
            outcome.faults.append(Fault(f"{names[0]}.grad", f"{self.name}.backward was never called by autograd."))
            return outcome
        gradients = dict(zip(given.inputs, returned[-1], strict=False))
        outcome.tensors |= {f"{name}.grad": as_array(gradients.get(name)) for name in names}
        changed = dict(zip(named(len(above), "grad_output"), (a.numpy() for a in above), strict=True))
        before = dict(zip(changed, given.upstream, strict=True))
        self.unchanged("backward", {**arrays(inputs, given), **changed}, {**given.inputs, **before}, outcome)
        return outcome

    def again(self, first: Given, then: Given) -> Outcome:
        """A function has no memory, unless the class has."""
        self.run(first)
        return self.run(then)

    def scalar(self, given: Given, tensor: str, index: tuple[int, ...]) -> Callable[[Any], Any]:
        """Return <grad_output, forward> as a function of what is added to one element of an input."""

        def value(change: Any) -> Any:
            at = given.cast(np.complex128 if isinstance(change, complex) else np.float64)
            at.inputs[tensor][index] += change
            try:
                with torch.no_grad():
                    inputs = [torch.tensor(array) for array in at.inputs.values()]
                    made = leaves(self.candidate.apply(*inputs, *self.constants))
            except RuntimeError as no:  # torch has no complex version of this operation
                raise TypeError(str(no)) from None
            return np.asarray(sum(np.sum(dy * y.numpy()) for dy, y in zip(at.upstream, made, strict=False))).item()

        return value


def watched(candidate: Any, returned: list[Any]) -> Any:
    """Return the class with a backward that notes what it returns, before autograd reshapes or refuses it."""

    def backward(context: Any, *above: Any) -> Any:
        gradients = candidate.backward(context, *above)
        returned.append(gradients if isinstance(gradients, tuple) else (gradients,))
        return gradients

    return type(candidate.__name__, (candidate,), {"backward": staticmethod(backward)})


def tensors(given: Given, apart: bool = False) -> list[torch.Tensor]:
    """Return the inputs as tensors of memory of their own, those of a floating dtype with a gradient.

    `apart`: every element beside one that is not the tensor's. torch has no longdouble: TypeError.
    """
    made = [torch.tensor(array) for array in given.inputs.values()]
    if apart:
        made = [x.repeat_interleave(2, -1)[..., ::2] if x.ndim else x for x in made]
    return [x.requires_grad_() if x.is_floating_point() else x for x in made]


def arrays(inputs: list[torch.Tensor], given: Given) -> dict[str, np.ndarray]:
    """Return the inputs after the pass by name."""
    return {name: x.detach().numpy() for name, x in zip(given.inputs, inputs, strict=True)}


def as_array(value: Any) -> Any:
    """Return a tensor as an array; anything else as it is."""
    return value.detach().numpy() if isinstance(value, torch.Tensor) else value
