"""The reference: what torch makes of the same arrays in float64, and its derivatives by autograd."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from compare.crosscheck.given import Given
from compare.crosscheck.subject import describe, gradient_names, leaves, named
from compare.experiment.classes import nearest
from compare.experiment.description import DescriptionError
from reference.operation import replay

Results = dict[str, np.ndarray]
Upstream = Callable[[list[tuple[int, ...]]], tuple[np.ndarray, ...]]  # shapes of the outputs -> gradients from above


class Refused(Exception):
    """The reference does not take these inputs: another shape has to be drawn."""


class LayerOracle:
    """A module or a function of torch, differentiated by autograd."""

    def __init__(self, reference: Any, name: str, training: bool, frozen: tuple[str, ...] = ()):
        self.name, self.frozen, self.loss = name, frozen, bool(frozen)
        self.module = reference if isinstance(reference, nn.Module) else None
        self.function: Callable[..., Any] = reference
        if getattr(reference, "func", reference) is nn.functional.dropout:  # looked up when called: see `replayed`
            self.function = partial(lambda *given, **options: nn.functional.dropout(*given, **options),
                                    **getattr(reference, "keywords", {}))  # fmt: skip
        self.names: tuple[str, ...] = ()  # what a function's arguments are called, as far as it tells
        if self.module is not None:
            self.module.train(training)
        else:
            with contextlib.suppress(TypeError, ValueError):
                self.names = tuple(inspect.signature(reference).parameters)

    def __call__(
        self, given: Given, outputs: int, upstream: Upstream | None = None, dtype: torch.dtype = torch.float64
    ) -> tuple[Given, Results]:
        """Return the arrays with a gradient from above for each of the first outputs, and every tensor by name.

        Raises Refused where torch raises.
        """
        inputs = {name: leaf(array, dtype) for name, array in given.inputs.items()}
        parameters = {name: leaf(array, dtype) for name, array in given.parameters.items()}
        buffers = {name: leaf(array, dtype).detach() for name, array in given.buffers.items()}
        try:
            with replayed(given.drawn) as masks:
                made = [y for y in leaves(self.call(inputs, parameters, buffers, given)) if y is not None][:outputs]
        except Exception as error:
            raise Refused(describe(error)) from error
        if given.drawn and len(masks) == len(given.drawn) and not self.replays(given):
            raise DescriptionError(
                f"the candidate drew {', '.join(given.drawn)} at random, and {self.name} draws for itself: nothing can "
                "be compared. Wanted a reference that takes them as arguments of these names, or no dropout."
            )
        if not all(isinstance(y, torch.Tensor) for y in made):
            raise Refused(f"it returned a {type(made[0]).__name__}, not a tensor")
        results = dict(zip(["loss"] if self.loss else named(outputs), map(to_array, made), strict=False))
        results |= {name: to_array(buffer) for name, buffer in buffers.items()}
        scalar = self.loss and not made[0].ndim  # nothing is above a loss that is one number
        if upstream is not None and not scalar:
            given = replace(given, upstream=upstream([tuple(y.shape) for y in made]))
        sources = {name: inputs[name] for name in gradient_names(given, self.frozen)} | parameters
        above = [torch.ones_like(y) for y in made] if scalar else [torch.tensor(g).to(dtype) for g in given.upstream]
        try:
            results |= differentiated(made, sources, above) if above else {}
        except RuntimeError as error:  # a gradient from above of another shape
            raise Refused(describe(error)) from error
        return given, results

    def replays(self, given: Given) -> bool:
        """Whether the reference takes what the candidate drew."""
        parts = self.module.modules() if self.module is not None else []
        return any(hasattr(part, "replay") for part in parts) or any(name in self.names for name in given.drawn)

    def call(self, inputs: Any, parameters: Any, buffers: Any, given: Given) -> Any:
        """Call the module with these parameters and buffers, or the function with the parameters by name."""
        if self.module is not None:
            replay(self.module, given.drawn)
            own = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
            return torch.func.functional_call(self.module, own | parameters | buffers, tuple(inputs.values()))
        extra = {name: torch.tensor(array) for name, array in given.drawn.items() if name in self.names}
        by_name = parameters | buffers | extra
        if self.names and all(name in self.names for name in inputs):
            return self.function(**inputs, **by_name)
        if self.names:
            return self.function(*inputs.values(), **by_name)
        try:
            return self.function(*inputs.values(), **by_name)
        except TypeError:  # a function in C that takes no keywords
            return self.function(*inputs.values(), *by_name.values())


def differentiated(made: list[Any], sources: dict[str, torch.Tensor], above: list[torch.Tensor]) -> Results:
    """Return the gradients by name; 0 where nothing depends on a source."""
    pairs = [(y, g) for y, g in zip(made, above, strict=True) if y.requires_grad]
    if pairs and sources:
        found = torch.autograd.grad(
            [y for y, _ in pairs], list(sources.values()), [g for _, g in pairs], allow_unused=True
        )
    else:
        found = [None] * len(sources)
    return {
        f"{name}.grad": np.zeros(tuple(source.shape)) if gradient is None else to_array(gradient)
        for (name, source), gradient in zip(sources.items(), found, strict=True)
    }


class UpdateOracle:
    """An optimizer of torch.optim, some steps long."""

    loss = False

    def __init__(self, make: Callable[..., torch.optim.Optimizer], name: str):
        self.make, self.name = make, name

    def __call__(
        self, given: Given, outputs: int, upstream: Upstream | None = None, dtype: torch.dtype = torch.float64
    ) -> tuple[Given, Results]:
        """Return the arrays with the gradients of every step, and state and updated parameters after each."""
        if upstream is not None:
            given = replace(given, upstream=upstream([array.shape for array in given.inputs.values()]))
        weights = {name: nn.Parameter(torch.tensor(array).to(dtype)) for name, array in given.inputs.items()}
        try:
            optimizer = self.make(list(weights.values()))
        except Exception as error:
            raise Refused(describe(error)) from error
        results: Results = {}
        for step in range(1, len(given.upstream) // len(weights) + 1):
            gradients = given.upstream[(step - 1) * len(weights) : step * len(weights)]
            for weight, gradient in zip(weights.values(), gradients, strict=True):
                weight.grad = torch.tensor(gradient).to(dtype)
            optimizer.step()
            for name, weight in weights.items():
                for key, value in optimizer.state[weight].items():
                    if isinstance(value, torch.Tensor):
                        results[f"step{step}.{name}.{key}"] = to_array(value)
                results[f"step{step}.{name}.updated"] = to_array(weight)
        return given, results


def leaf(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor of memory of its own, with a gradient where its dtype has one."""
    tensor = torch.tensor(array)
    return tensor.to(dtype).requires_grad_() if tensor.is_floating_point() else tensor


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """Return a copy of the tensor as an array of float64, integers as they are."""
    array = tensor.detach().numpy().copy()
    return array.astype(np.float64) if array.dtype.kind == "f" else array


@contextlib.contextmanager
def replayed(drawn: Mapping[str, np.ndarray]) -> Iterator[list[np.ndarray]]:
    """While it lasts, torch's dropout takes the masks that the candidate drew, one after the other.

    Those that are left are in the list.
    """
    masks = [np.asarray(mask) for mask in drawn.values()]
    if not masks:
        yield masks
        return
    functional: Any = nn.functional
    own = functional.dropout

    def dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, *_: Any, **__: Any) -> torch.Tensor:
        if not training:
            return input
        if p == 1:
            return input * 0
        return input * torch.tensor(masks.pop(0)).to(input.dtype).reshape(input.shape) / (1 - p)

    functional.dropout = dropout
    try:
        yield masks
    finally:
        functional.dropout = own


def resolve(text: str) -> Any:
    """Return what a dotted name in torch stands for; DescriptionError, with the nearest name, if nothing does."""
    first, *rest = text.split(".")
    if first != "torch":
        raise DescriptionError(
            f"the reference is {text!r}; wanted a name in torch, such as torch.nn.SiLU or torch.nn.functional.silu."
        )
    found: Any = torch
    for position, name in enumerate(rest):
        if not hasattr(found, name):
            known = [n for n in dir(found) if not n.startswith("_")]
            where = ".".join([first, *rest[:position]])
            raise DescriptionError(f"the reference is {text!r}; {where} has no {name!r}.{nearest(name, known)}")
        found = getattr(found, name)
    return found


def name_of(reference: Any) -> str:
    """Return what a reference is called: torch.nn.SiLU, torch.nn.functional.silu, <lambda>."""
    if isinstance(reference, nn.Module):
        text = repr(reference)
        return text if len(text) < 80 and "\n" not in text else type(reference).__name__
    plain = getattr(reference, "__name__", type(reference).__name__)
    if getattr(nn.functional, plain, None) is reference:
        return f"torch.nn.functional.{plain}"
    module = getattr(reference, "__module__", None) or ""
    if module.startswith(("torch.nn.modules", "torch.optim")):
        return f"torch.{'optim' if 'optim' in module else 'nn'}.{plain}"
    return f"torch.{plain}" if getattr(torch, plain, None) is reference else plain
