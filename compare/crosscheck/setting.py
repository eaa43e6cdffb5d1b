"""Setting up: what the candidate is, what the reference is, and what is drawn for them."""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

import manual
from compare.crosscheck.drawing import Spec
from compare.crosscheck.function import FunctionSubject
from compare.crosscheck.oracle import LayerOracle, UpdateOracle, name_of, resolve
from compare.crosscheck.search import Plan
from compare.crosscheck.specs import buffer_spec, input_specs, interval, own_inputs, parameter_specs, shapes_of
from compare.crosscheck.subject import LayerSubject, LossSubject, UpdateSubject, describe, positional
from compare.diagnosis.mistakes import CATALOGUE
from compare.experiment.classes import nearest
from compare.experiment.description import DescriptionError

STEPS = 3  # of an optimizer: the first has no state, the second has one, the third shows how it goes on
PLAIN = (int, float, bool, str, tuple)
ALIASES = {"binarycrossentropy": "BCELoss", "binarycrossentropywithlogits": "BCEWithLogitsLoss"}


@dataclass
class Setting:
    """A check, set up."""

    subject: LayerSubject
    oracle: Any
    plan: Plan
    kind: str  # the class of manual that the reference corresponds to; "" if there is none
    arguments: Mapping[str, Any]

    def sizes_of_parameters(self) -> tuple[int, ...]:
        """Return the sizes that the candidate's parameters have: an input may have to fit them."""
        arrays = [*self.subject.parameters.values(), *self.subject.buffers.values()]
        return tuple(dict.fromkeys(size for array in arrays for size in array.shape))


def prepare(
    candidate: Any, reference: Any, input_shape: Any, *, parameters: dict[str, Any], inputs: Any, indices: Any,
    target: Any, classes: int, arguments: dict[str, Any], between: Any, training: bool,
) -> Setting:  # fmt: skip
    """Return the setting of a check. Raises DescriptionError where none can be made."""
    text = reference if isinstance(reference, str) else ""
    reference = resolve(reference) if text else reference
    if not callable(reference) and not isinstance(reference, torch.optim.Optimizer):
        raise DescriptionError(f"the reference is a {type(reference).__name__}; wanted something torch can call.")
    kind = kind_of(text or reference)
    unknown_arguments(candidate, reference, arguments)
    if is_optimizer(candidate, reference):
        return optimizer_setting(candidate, reference, text, kind, input_shape, arguments, inputs, between)
    subject = subject_of(candidate, arguments, target, training)
    specs = input_specs(input_shape, subject.kind, indices, between, kind, target, classes)
    built, options = built_reference(reference, candidate_of(subject), subject, arguments, len(specs), training)
    frozen = subject.frozen if "target" in specs else ()
    oracle = LayerOracle(built, text or name_of(reference), training, frozen)
    oracle.loss = subject.kind == "loss"
    oracle.name = called(oracle.name, options)
    drawn = parameter_specs(subject, parameters)
    if subject.kind == "function":
        specs |= drawn
        drawn = {}
    buffers = {} if not isinstance(built, nn.Module) and not accepts_all(built, subject.buffers) else subject.buffers
    if isinstance(built, nn.Module):
        buffers = {n: b for n, b in buffers.items() if n in dict(built.named_buffers())}
    plan = Plan(specs, drawn, {name: buffer_spec(array) for name, array in buffers.items()}, own_inputs(inputs, specs))
    match_parameters(subject, oracle, drawn)
    return Setting(subject, oracle, plan, kind, {**options, **arguments})


def is_optimizer(candidate: Any, reference: Any) -> bool:
    """Whether the two are optimizers."""
    torch_class = isinstance(reference, type) and issubclass(reference, torch.optim.Optimizer)
    own = isinstance(candidate, type) and hasattr(candidate, "step") and not hasattr(candidate, "forward")
    return torch_class or own or isinstance(reference, torch.optim.Optimizer)


def optimizer_setting(
    candidate: Any, reference: Any, text: str, kind: str, input_shape: Any, arguments: dict[str, Any], inputs: Any,
    between: Any,
) -> Setting:  # fmt: skip
    """Return the setting of an optimizer's check."""
    if not callable(candidate):
        raise DescriptionError(
            f"the candidate is an optimizer already made ({type(candidate).__name__}); wanted its class, so that it "
            f"can be made anew for every example: crosscheck({type(candidate).__name__}, ...)."
        )
    name = text or (name_of(reference) if callable(reference) else f"torch.optim.{type(reference).__name__}")
    if isinstance(reference, torch.optim.Optimizer):
        held: dict[str, Any] = reference.defaults
        options = {k: v for k, v in held.items() if k not in ("params", "differentiable")}
        make: Any = partial(type(reference), **options)
    else:
        make = partial(reference, **accepted(reference, arguments))
    specs = {
        "weight" if key == "input" else key: replace(spec, between=interval(between, key))
        for key, spec in shapes_of(input_shape).items()
    }
    subject = UpdateSubject(candidate, accepted(candidate, arguments))
    plan = Plan(specs, own=own_inputs(inputs, specs), steps=STEPS)
    return Setting(subject, UpdateOracle(make, called(name, accepted(reference, arguments))), plan, kind, arguments)


def subject_of(candidate: Any, arguments: dict[str, Any], target: Any, training: bool) -> LayerSubject:
    """Return the candidate as something that can be run. Raises DescriptionError if it is no derivation."""
    if isinstance(candidate, type) and issubclass(candidate, torch.autograd.Function):
        names = list(inspect.signature(candidate.forward).parameters)
        constants = [arguments[name] for name in names if name in arguments]
        return FunctionSubject(candidate, constants)
    if isinstance(candidate, type):
        try:
            candidate = candidate(**accepted(candidate, arguments))
        except Exception as error:
            raise DescriptionError(
                f"{candidate.__name__} cannot be made: {describe(error)}. Give an object, {candidate.__name__}(...), "
                "or its arguments: arguments={...}."
            ) from None
    for method in ("forward", "backward"):
        if not callable(getattr(candidate, method, None)):
            raise DescriptionError(
                f"{type(candidate).__name__} has no {method}; wanted an object with forward and backward."
            )
    if target is not None or (positional(candidate.backward) or (1, 1))[0] == 0:
        return LossSubject(candidate, training)
    return LayerSubject(candidate, training)


def candidate_of(subject: LayerSubject) -> Any:
    """Return the user's own object."""
    return subject.candidate


def accepted(function: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments that a function or a constructor takes."""
    try:
        known = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return dict(arguments)
    if any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return dict(arguments)
    return {name: value for name, value in arguments.items() if name in known}


def unknown_arguments(candidate: Any, reference: Any, arguments: Mapping[str, Any]) -> None:
    """Raise DescriptionError for an argument that neither side takes."""
    own = candidate.forward if isinstance(candidate, type) and hasattr(candidate, "forward") else candidate
    takes = accepted(candidate, arguments) if isinstance(candidate, type) else {}
    if isinstance(candidate, type) and issubclass(candidate, torch.autograd.Function):
        takes = accepted(own, arguments)
    for name in arguments:
        if name not in takes and name not in accepted(reference, arguments):
            known = list(dict.fromkeys(n for side in (candidate, reference) for n in names_of(side)))
            raise DescriptionError(f"neither side has an argument {name!r}.{nearest(name, known)}")


def names_of(function: Any) -> list[str]:
    """Return the names of a function's arguments, [] where they are not known."""
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def built_reference(
    reference: Any, candidate: Any, subject: LayerSubject, arguments: dict[str, Any], inputs: int, training: bool
) -> tuple[Any, dict[str, Any]]:
    """Return the reference as a module or a function of inputs and parameters, and the arguments it was made with.

    What is not given is taken from the candidate's attributes of the same names: in_features, negative_slope.
    """
    if isinstance(reference, nn.Module):
        return copy.deepcopy(reference).to(torch.float64), {}
    is_class = isinstance(reference, type) and issubclass(reference, nn.Module)
    options = accepted(reference, arguments)
    try:
        known = list(inspect.signature(reference).parameters.values())
    except (TypeError, ValueError):
        return partial(reference, **options) if options else reference, options
    taken = {*subject.parameters, *subject.buffers, "device", "dtype", "inplace", "bias", "rng"}
    for parameter in known if is_class else known[inputs:]:
        value = getattr(candidate, parameter.name, None)
        if parameter.name in options or parameter.name in taken or parameter.kind in (2, 4):
            continue
        if parameter.name == "training" and not is_class:
            options["training"] = training
        elif type(value) in PLAIN:
            options[parameter.name] = value
    if not is_class:
        return partial(reference, **options) if options else reference, options
    try:
        if "bias" in names_of(reference) and "bias" not in options and subject.parameters:
            has = any(name.startswith(("bias", "in_proj_bias")) for name in subject.parameters)
            options |= {} if has else {"bias": False}
        return reference(**options).to(torch.float64), options
    except Exception as error:
        raise DescriptionError(
            f"{name_of(reference)} cannot be made with {options}: {describe(error)}. Give a module, or its arguments: "
            "arguments={...}."
        ) from None


def accepts_all(function: Any, arrays: Mapping[str, Any]) -> bool:
    """Whether a function takes arguments of all these names."""
    known = names_of(function)
    return bool(arrays) and all(name in known for name in arrays)


def called(name: str, options: Mapping[str, Any]) -> str:
    """Return a reference's name with the arguments it was made with."""
    given = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return f"{name}({given})" if given else name


def match_parameters(subject: LayerSubject, oracle: LayerOracle, drawn: Mapping[str, Spec]) -> None:
    """Raise DescriptionError unless the candidate's parameters are the module's, or arguments of the function."""
    mine = {name: spec.shape for name, spec in drawn.items()}
    if oracle.module is not None:
        theirs = {name: tuple(p.shape) for name, p in oracle.module.named_parameters()}
        if mine != theirs:
            raise DescriptionError(
                f"{subject.name} has the parameters {mine}, {oracle.name} {theirs}; wanted the same names and shapes."
            )
        return
    varied = any(p.kind is p.VAR_KEYWORD for p in signature_of(oracle.function))
    for name in mine:
        if oracle.names and name not in oracle.names and not varied:
            hint = nearest(name, list(oracle.names))
            raise DescriptionError(
                f"{subject.name} has a parameter {name!r}; {oracle.name} has no argument of that name.{hint}"
            )


def signature_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function, [] where they are not known."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


def kind_of(reference: Any) -> str:
    """Return the class of manual that a reference corresponds to by its name, "" if there is none."""
    if isinstance(reference, nn.Module | torch.optim.Optimizer):
        reference = type(reference)
    name = reference.rpartition(".")[2] if isinstance(reference, str) else getattr(reference, "__name__", "")
    if not isinstance(reference, str) and not getattr(reference, "__module__", "").startswith("torch"):
        builtin = getattr(torch, name, None) is reference or getattr(nn.functional, name, None) is reference
        name = name if builtin else ""
    plain = name.lower().replace("_", "")
    known = {*dir(manual), *(kind for mistake in CATALOGUE.values() for kind in mistake.on)}
    by_plain = {kind.lower(): kind for kind in sorted(known) if kind[:1].isupper()}
    found = ALIASES.get(plain) or by_plain.get(plain) or by_plain.get(f"{plain}loss")
    return found if plain and found else ""
