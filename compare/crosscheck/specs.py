"""What is drawn: the shape and the kind of every input, parameter and buffer, from what the user says of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from compare.crosscheck.drawing import Spec
from compare.crosscheck.subject import LayerSubject
from compare.experiment.classes import nearest
from compare.experiment.description import DescriptionError

TARGETS = ("labels", "like", "probabilities", "signs")
# What losses are usually given, and where predictions have to lie, if nothing is said of it.
USUAL: dict[str, tuple[str, tuple[float, float] | None]] = {
    "BCELoss": ("probabilities", (0.0, 1.0)),
    "BCEWithLogitsLoss": ("probabilities", None),
    "CrossEntropyLoss": ("labels", None),
    "NLLLoss": ("labels", None),
    "MultiMarginLoss": ("labels", None),
    "KLDivLoss": ("probabilities", None),
}


def shape_from(shape: Any, name: str) -> tuple[int | str, ...]:
    """Return a shape as a tuple; "batch,n" is one too. Raises DescriptionError for anything else."""
    sizes: Any = [part.strip() for part in shape.split(",") if part.strip()] if isinstance(shape, str) else shape
    if isinstance(sizes, int):
        sizes = (sizes,)
    try:
        made: tuple[Any, ...] = tuple(int(s) if isinstance(s, str) and s.isdigit() else s for s in sizes)
    except TypeError:
        made = (None,)
    for size in made:
        whole = isinstance(size, int | np.integer) and not isinstance(size, bool) and size >= 0
        if not whole and not (isinstance(size, str) and size.isidentifier()):
            raise DescriptionError(
                f"the shape of {name} is {shape!r}; wanted sizes, or names for any size, such as ('batch', 'n', 3)."
            )
    return tuple(s if isinstance(s, str) else int(s) for s in made)


def shapes_of(input_shape: Any) -> dict[str, Spec]:
    """Return the specs of the inputs by name, of a shape, a list of shapes, or shapes by name."""
    if isinstance(input_shape, Mapping):
        return {str(name): Spec(shape_from(shape, str(name))) for name, shape in input_shape.items()}
    several = isinstance(input_shape, Sequence) and not isinstance(input_shape, str) and len(input_shape) > 0
    if several and all(isinstance(s, tuple | list) for s in input_shape):
        names = ["input"] if len(input_shape) == 1 else [f"input{i}" for i in range(len(input_shape))]
        return {name: Spec(shape_from(s, name)) for name, s in zip(names, input_shape, strict=True)}
    return {"input": Spec(shape_from(input_shape, "input"))}


def interval(between: Any, name: str) -> tuple[float, float] | None:
    """Return the interval for one input, None if there is none. Raises DescriptionError for what is none."""
    found = between.get(name) if isinstance(between, Mapping) else between
    if found is None:
        return None
    try:
        low, high = (float(end) for end in found)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not low < high:
        raise DescriptionError(f"between is {found!r}; wanted two numbers, the smaller first: (0, 1).")
    return low, high


def input_specs(
    input_shape: Any, kind: str, indices: Any, between: Any, reference: str, target: Any, classes: int
) -> dict[str, Spec]:
    """Return the specs of all inputs, a loss's target among them."""
    specs = shapes_of(input_shape)
    if isinstance(between, Mapping) and (unknown := between.keys() - specs.keys() - {"prediction", "target"}):
        raise DescriptionError(f"between names {sorted(unknown)}; the inputs are {list(specs)}.")
    limits: Any = dict(enumerate(indices)) if isinstance(indices, list | tuple) else indices
    made = {}
    for position, (name, spec) in enumerate(specs.items()):
        below: Any = limits.get(name, limits.get(position, 0)) if isinstance(limits, Mapping) else limits or 0
        if isinstance(below, bool) or not isinstance(below, int | np.integer) or below < 0:
            raise DescriptionError(f"indices is {indices!r}; wanted a whole number, or one for each input that has it.")
        made[name] = replace(spec, below=below, between=interval(between, name))
    if kind != "loss":
        return made
    usual, limits_of_prediction = USUAL.get(reference, ("like", None))
    first, *rest = made.values()
    first = replace(first, between=interval(between, "prediction") or first.between or limits_of_prediction)
    if target is None and rest:
        goal = replace(rest[0], below=rest[0].below or classes)
    elif target is None or target in TARGETS:
        limits = interval(between, "target") if isinstance(between, Mapping) else first.between
        goal = Spec((), below=classes, kind=str(target or usual), between=limits)
    elif isinstance(target, str) and "," not in target and not target.isdigit():
        raise DescriptionError(f"target is {target!r}.{nearest(target, TARGETS)} A shape will do, too.")
    else:
        goal = Spec(shape_from(target, "target"), below=classes)
    return {"prediction": first, "target": goal}


def parameter_specs(subject: LayerSubject, given: Mapping[str, Any]) -> dict[str, Spec]:
    """Return how every parameter is drawn: in the candidate's own shape, as `given` says otherwise."""
    specs = {name: Spec(array.shape) for name, array in subject.parameters.items()}
    for name, how in given.items():
        if name not in specs and subject.kind != "function":
            known = nearest(name, list(specs)) if specs else " It has none."
            raise DescriptionError(f"parameters names {name!r}, which {subject.name} does not have.{known}")
        own = specs.get(name, Spec(()))
        if isinstance(how, np.ndarray):
            specs[name] = replace(own, shape=how.shape, fixed=np.asarray(how, np.float64))
        elif isinstance(how, tuple | list) and len(how) == 2 and any(isinstance(end, float) for end in how):
            specs[name] = replace(own, between=interval(how, name))
        else:
            specs[name] = replace(own, shape=shape_from(how, name))
    return specs


def buffer_spec(array: np.ndarray) -> Spec:
    """Return how a buffer is drawn: positive where it starts so (a variance); integers stay as they are."""
    if array.dtype.kind != "f":
        return Spec(array.shape, fixed=array)
    return Spec(array.shape, positive=bool((array > 0).all()))


def own_inputs(inputs: Any, specs: Mapping[str, Spec]) -> tuple[dict[str, np.ndarray], ...]:
    """Return the inputs of the user's as arrays by name."""
    if inputs is None:
        return ()
    if isinstance(inputs, np.ndarray):
        inputs = {next(iter(specs)): inputs}
    elif isinstance(inputs, list | tuple):
        inputs = dict(zip(specs, inputs, strict=False))
    if not isinstance(inputs, Mapping) or inputs.keys() != specs.keys():
        raise DescriptionError(f"inputs has {list(inputs)}; wanted an array for each of {list(specs)}.")
    arrays = {name: np.asarray(inputs[name]) for name in specs}
    return ({n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in arrays.items()},)
