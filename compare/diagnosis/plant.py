"""Planting: a mistake of the catalogue is put into the manual side, so that a whole run goes with it."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import manual
from compare.agreement.operations import one_hot_rows, state_of
from compare.agreement.trace import BUFFERS
from compare.diagnosis.evidence import Evidence
from compare.diagnosis.mistakes import CATALOGUE, Mistake
from compare.diagnosis.preparation import preparation_sites
from compare.diagnosis.site import Neighbour, Site
from compare.experiment.classes import nearest
from compare.experiment.description import DescriptionError, Experiment
from compare.experiment.networks import Side
from manual.optimizers import OPTIONS, Optimizer

Batch = tuple[np.ndarray, np.ndarray]


@dataclass
class Planted:
    """A planted mistake: where, what it should spoil first, and at which of its steps it has had an effect."""

    mistake: Mistake
    where: str  # the site's name
    tensor: str  # the first tensor in the order of the trace that it spoils
    operation: str  # the operation that spoils it
    calls: int = 0
    first_effect: int | None = None  # the first call, from 1, in which the wrong tensor was not the right one
    spoil_batch: Callable[[np.ndarray, np.ndarray], Batch] | None = None
    share_memory: bool = False
    before: dict[str, Site] = field(default_factory=dict)  # the sites of the step before, by name

    def make(self, site: Site) -> np.ndarray:
        """Return the wrong tensor at a site, the right one where it cannot be made; note the effect."""
        key = self.mistake.key
        with_history = replace(site, previous=self.before.get(site.name))
        ways = self.mistake.ways(with_history)
        wrong = ways[0] if ways else site.right[key]
        if not np.array_equal(wrong, site.right[key]) and self.first_effect is None:
            self.first_effect = self.calls
        return wrong


def find_mistake(name: str) -> Mistake:
    """Return the mistake of that name; DescriptionError, with the nearest name, if there is none."""
    if name not in CATALOGUE:
        raise DescriptionError(
            f"There is no mistake {name!r}.{nearest(name, CATALOGUE)} See `backproof list mistakes`."
        )
    return CATALOGUE[name]


def plant(mistake: Mistake, experiment: Experiment, side: Side, batches: list[Batch], classes: int) -> Planted:
    """Put the mistake into the manual side, at the first operation of the network where it can be made.

    `batches` are the first two of the run: some mistakes need a step before. Raises DescriptionError where no operation
    of the network admits the mistake.
    """
    if "Network" in mistake.on:
        return plant_in_network(mistake, experiment, side)
    where = choose_site(mistake, experiment, batches, classes)
    planted = Planted(mistake, where, spoiled_tensor(mistake, where, experiment), guilty_operation(mistake, where))
    network, common = side.network, common_facts(experiment, classes)
    if "Batch" in mistake.on:
        planted.spoil_batch = batch_spoiler(planted, common)
    elif in_optimizer(mistake):
        side.optimizer = PlantedOptimizer(side.optimizer, planted, common)
    elif where == "loss":
        network.loss_function = PlantedLoss(network.loss_function, planted, side, experiment, common)
    else:
        names = list(network.layers)
        network.layers[where] = PlantedLayer(network.layers[where], where, planted, network, experiment, common)
        if mistake.companion:
            below = names[names.index(where) - 1]
            for key in ("weight", "bias"):
                partner = replace(CATALOGUE[mistake.companion], key=key, wrong=lambda s, k=key: 0.5 * s.right[k])
                layer = network.layers[below]
                network.layers[below] = PlantedLayer(
                    layer, below, Planted(partner, below, "", ""), network, experiment, common
                )
    return planted


def in_optimizer(mistake: Mistake) -> bool:
    """Whether the optimizer makes the mistake: its rule, or what it does before."""
    return any(kind in OPTIONS or kind in ("Accumulation", "Clipping", "Schedule") for kind in mistake.on)


def plant_in_network(mistake: Mistake, experiment: Experiment, side: Side) -> Planted:
    """Plant a mistake that no single operation makes."""
    names = [layer.name for layer in experiment.layers]
    if mistake.name == "reference-shares-memory":
        first = next(iter(side.network.parameters))
        return Planted(mistake, "reference", first, "initial", calls=1, first_effect=1, share_memory=True)
    if len(names) < 2:
        raise DescriptionError(f"{mistake.name} needs two layers; {experiment.name} has {len(names)}.")
    guilty, victim = names[1], names[0]
    side.network.layers[guilty] = InPlaceLayer(side.network.layers[guilty])
    return Planted(mistake, guilty, f"{victim}.output", f"{guilty}.forward", calls=1, first_effect=1)


def common_facts(experiment: Experiment, classes: int) -> dict[str, Any]:
    """Return what every site of an experiment knows."""
    return {"lr": experiment.optimizer.lr, "nominal": experiment.training.batch_size, "classes": classes}


def choose_site(mistake: Mistake, experiment: Experiment, batches: list[Batch], classes: int) -> str:
    """Return the name of the first operation where the mistake can be made, by trying it on two correct steps."""
    evidence = correct_evidence(experiment, batches, classes)
    possible = []
    for name, site in evidence.sites().items():
        if site.kind not in mistake.on or spoiled_tensor(mistake, name, experiment) not in evidence.manual:
            continue  # the lowest layer with weights gives no gradient for its input
        with np.errstate(all="ignore"):
            ways = mistake.ways(site)
        if ways and not np.array_equal(ways[0], site.right[mistake.key]):
            return name
        if ways:
            possible.append(name)
    if possible:
        return possible[0]
    raise DescriptionError(
        f"The mistake {mistake.name} cannot be made in {experiment.name}: it needs {' or '.join(mistake.on)}"
        f"{', or options that this experiment does not use' if in_optimizer(mistake) else ''} ({mistake.about})"
    )


def correct_evidence(experiment: Experiment, batches: list[Batch], classes: int) -> Evidence:
    """Return the evidence of correct steps on these batches, the last with those before it."""
    from compare.experiment.networks import build_manual, parameter_shapes
    from compare.experiment.streams import initial_parameters

    side = build_manual(experiment, initial_parameters(experiment, parameter_shapes(experiment)))
    evidence = None
    for x, target in batches:
        state_before = state_of(side.optimizer)
        side.network.loss(x, target)
        side.network.backward()
        side.optimizer.step()
        trace = {name: np.array(array) for name, array in side.network.trace().items()}
        evidence = Evidence(experiment, trace, trace, state_before, frozenset(), classes, evidence)
    if evidence is None:
        raise ValueError("A mistake is planted with the first batches of a run; there are none.")
    return evidence


def spoiled_tensor(mistake: Mistake, where: str, experiment: Experiment) -> str:
    """Return the first tensor in the order of the trace that a mistake at `where` spoils."""
    names = ["", *(layer.name for layer in experiment.layers)]
    kind = experiment.optimizer.kind.lower()
    match mistake.key:
        case "input" | "target" if where == "batch":
            return mistake.key
        case "value":
            return "loss"
        case "gradient":
            return f"{names[-1]}.output.grad"
        case "output":
            return f"{where}.output"
        case "input":
            return f"{names[names.index(where) - 1]}.output.grad"
        case "updated":
            return f"{where}.updated"
        case key if key in BUFFERS:
            return f"{where}.{key}.updated"
        case "accumulated" | "clipped" | "lr":
            return where
        case key if in_optimizer(mistake):
            return f"{kind}.{where}.{key}"
        case key:
            return f"{where}.{key}.grad"


def guilty_operation(mistake: Mistake, where: str) -> str:
    """Return the operation that a mistake at `where` makes go wrong."""
    if where == "batch":
        return "batch"
    if in_optimizer(mistake):
        return "optimizer.step"
    return f"{where}.{'forward' if mistake.key in ('output', 'value', *BUFFERS) else 'backward'}"


def batch_spoiler(planted: Planted, common: Mapping[str, Any]) -> Callable[[np.ndarray, np.ndarray], Batch]:
    """Return the function that spoils a batch."""

    def spoil(x: np.ndarray, target: np.ndarray) -> Batch:
        planted.calls += 1
        site = Site("batch", "Batch", x, {"input": x, "target": target}, target=target, **common)
        wrong = planted.make(site)
        return (wrong, target) if planted.mistake.key == "input" else (x, wrong)

    return spoil


class PlantedLayer:
    """A layer with a mistake in it."""

    def __init__(
        self,
        inner: Any,
        name: str,
        planted: Planted,
        network: manual.Network,
        experiment: Experiment,
        common: Mapping[str, Any],
    ):
        self.inner, self.name, self.planted, self.network, self.facts = inner, name, planted, network, common
        self.kinds = {layer.name: layer.kind for layer in experiment.layers}
        self.arguments = {layer.name: layer.arguments for layer in experiment.layers}
        self.gradients: dict[str, np.ndarray] = {}

    def __getattr__(self, name: str) -> Any:
        """Everything else is the inner layer's."""
        if name == "inner":
            raise AttributeError(name)  # while it is being copied, there is none yet
        return getattr(self.inner, name)

    @property
    def training(self) -> bool:
        """Whether the inner layer is in training."""
        return self.inner.training

    @training.setter
    def training(self, value: bool) -> None:
        self.inner.training = value

    @property
    def needs_input_gradient(self) -> bool:
        """Whether the gradient for the input is wanted: the inner layer's affair."""
        return getattr(self.inner, "needs_input_gradient", True)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the inner layer's output, or a wrong one; or leave a wrong running statistic."""
        self.buffers_before = dict(getattr(self.inner, "buffers", {}))
        self.x, self.y = x, self.inner.forward(x)
        key, statistics = self.planted.mistake.key, getattr(self.inner, "buffers", {})
        if key not in {"output", *statistics} or not getattr(self.inner, "training", True):
            return self.y
        self.planted.calls += 1
        wrong = self.planted.make(self.site({"output": self.y, **statistics}, None))
        if key == "output":
            return wrong
        statistics[key] = wrong
        return self.y

    def backward(self, grad_output: np.ndarray) -> np.ndarray | None:
        """Return and fill in the inner layer's gradients, one of them wrong."""
        grad_input = self.inner.backward(grad_output)
        own = getattr(self.inner, "gradients", {})
        self.gradients = dict(own)
        key = self.planted.mistake.key
        if key not in {"input", *own}:
            return grad_input
        self.planted.calls += 1
        right = {**own, "output": self.y}
        if grad_input is not None:
            right["input"] = grad_input
        site = self.site(right, grad_output)
        wrong = self.planted.make(site)
        self.planted.before[self.name] = replace(
            site, right={k: np.array(v) for k, v in right.items()}, neighbours={}, previous=None
        )
        if key == "input":
            return wrong
        self.gradients[key] = wrong
        return grad_input

    def site(self, right: Mapping[str, np.ndarray], dy: np.ndarray | None) -> Site:
        """Return the site of this layer now."""
        names, outputs = list(self.network.layers), self.network.outputs
        inputs = [self.network.input, *outputs[:-1]] if outputs else []
        seen = {
            name: Neighbour(self.kinds[name], x, y)
            for name, x, y in zip(names, inputs, outputs, strict=True)
        } if dy is not None else {}  # fmt: skip
        position = names.index(self.name)
        preceding = seen.get(names[position - 1]) if position else None
        return Site(
            self.name, self.kinds[self.name], self.x, right, y=self.y, dy=dy, neighbours=seen,
            parameters=getattr(self.inner, "parameters", {}), arguments=self.arguments[self.name],
            buffers=self.buffers_before, drawn=dict(getattr(self.inner, "drawn", {})),
            preceding=(preceding.x, preceding.y) if preceding else None, **self.facts,
        )  # fmt: skip


class InPlaceLayer:
    """A layer that halves its input in place once it has used it."""

    def __init__(self, inner: Any):
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        """Everything else is the inner layer's."""
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the inner layer's output; spoil x."""
        y = self.inner.forward(x)
        x *= 0.5
        return y

    def backward(self, grad_output: np.ndarray) -> Any:
        """Return the inner layer's."""
        return self.inner.backward(grad_output)


class PlantedLoss:
    """A loss with a mistake in it."""

    def __init__(self, inner: Any, planted: Planted, side: Side, experiment: Experiment, common: Mapping[str, Any]):
        self.inner, self.planted, self.side, self.experiment, self.common = inner, planted, side, experiment, common

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return the inner loss, or a wrong one."""
        self.prediction, self.target = prediction, target
        value = np.asarray(self.inner.forward(prediction, target))
        if self.planted.mistake.key != "value":
            return value
        return self.make({"value": value}).astype(value.dtype)

    def backward(self) -> np.ndarray:
        """Return the inner gradient, or a wrong one."""
        gradient = self.inner.backward()
        return gradient if self.planted.mistake.key != "gradient" else self.make({"gradient": gradient})

    def make(self, right: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the wrong tensor."""
        self.planted.calls += 1
        labels = self.target if np.issubdtype(self.target.dtype, np.integer) else None
        rows = self.target
        if labels is not None:
            rows = one_hot_rows(labels, self.prediction.shape).astype(self.prediction.dtype)
        site = Site(
            "loss", type(self.inner).__name__, self.prediction, right, target=rows, labels=labels,
            arguments=self.experiment.loss.arguments,
            loss_after_update=self.loss_after_update, **self.common,
        )  # fmt: skip
        return self.planted.make(site)

    def loss_after_update(self) -> float:
        """Return the loss of this batch after the update that is to come, on copies of everything."""
        own, optimizer = self.side.network, self.experiment.optimizer
        network = manual.Network(copy.deepcopy(own.layers), copy.deepcopy(self.inner), own.parameters)
        network.loss(own.input, self.target)
        network.backward()
        step = getattr(manual, optimizer.kind)(network, **optimizer.options(list(own.parameters)))
        step.state, step.micro = copy.deepcopy(self.side.optimizer.state), self.side.optimizer.micro
        step.step()
        return network.loss(own.input, self.target)


class Pinned(dict[str, np.ndarray]):
    """A state in which some tensors are what they are said to be, whatever a rule makes of them."""

    def __init__(self, state: Mapping[str, np.ndarray], pins: Mapping[str, np.ndarray]):
        super().__init__({key: value.copy() for key, value in state.items()})
        self.pins = pins

    def __getitem__(self, key: str) -> np.ndarray:
        return self.pins[key].copy() if key in self.pins else super().__getitem__(key)

    def __setitem__(self, key: str, value: np.ndarray) -> None:
        super().__setitem__(key, self.pins[key].copy() if key in self.pins else value)


class Fixed:
    """A schedule of one rate."""

    def __init__(self, rate: float):
        self.rate = rate

    def lr(self, step: int, base_lr: float) -> float:
        """Return the rate."""
        return self.rate


class PlantedOptimizer:
    """An optimizer with a mistake in it, in its rule or in what comes before that."""

    def __init__(self, inner: Optimizer, planted: Planted, common: Mapping[str, Any]):
        self.inner, self.planted, self.common = inner, planted, common

    def __getattr__(self, name: str) -> Any:
        """Everything else is the inner optimizer's."""
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """What is set of the inner optimizer's (a state, a count that is restored) is set there."""
        if name in ("inner", "planted", "common"):
            super().__setattr__(name, value)
        else:
            setattr(self.inner, name, value)

    def step(self) -> None:
        """Take the right step; then, where the mistake makes a difference, take it back and take the wrong one."""
        inner, mistake = self.inner, self.planted.mistake
        state, micro = {key: value.copy() for key, value in inner.state.items()}, inner.micro
        inner.step()
        self.planted.calls += 1
        wrong = {}
        for name, site in self.sites(state, micro).items():
            planted_here = site.kind in mistake.on and (mistake.everywhere or name == self.planted.where)
            if planted_here and mistake.key in site.right:
                wrong[name] = self.planted.make(site)
                self.planted.before[name] = replace(site, previous=None)
        if mistake.key == "updated":
            for name, updated in wrong.items():
                inner.network.parameters[name][...] = updated
        elif wrong:
            inner.state, inner.micro = state, micro
            for name, parameter in inner.network.parameters.items():
                np.copyto(parameter, inner.previous[name])
            self.retake(wrong)

    def retake(self, wrong: Mapping[str, np.ndarray]) -> None:
        """Take the step again, with these tensors wrong and all that follows from them right."""
        inner, key = self.inner, self.planted.mistake.key
        if key == "clipped":
            spoiled = {name.removesuffix(".grad.clipped"): gradient for name, gradient in wrong.items()}
            with replaced(inner, "clip", lambda gradients: {**type(inner).clip(inner, gradients), **spoiled}):
                inner.step()
        elif key == "lr":
            with replaced(inner, "schedule", Fixed(float(next(iter(wrong.values()))))):
                inner.step()
        else:
            pins = {f"{name.removesuffix('.grad.accumulated')}.{key}": tensor for name, tensor in wrong.items()}
            inner.state = Pinned(inner.state, pins)
            inner.step()
            inner.state = dict(inner.state)

    def sites(self, state_before: Mapping[str, np.ndarray], micro: int) -> dict[str, Site]:
        """Return the sites of the step just taken rightly, by name: of the preparation, then of each update."""
        inner, network = self.inner, self.inner.network
        common = {**self.common, "lr": inner.lr_used}
        options = {option: getattr(inner, option) for option in ("accumulate", "max_norm", "norm_type", "clip_value")}
        gradients = {name: gradient.copy() for name, gradient in network.gradients.items()}
        gathered = (
            {name: inner.state[f"{name}.accumulated"].copy() for name in gradients} if inner.accumulate > 1 else {}
        )
        before = {k.removesuffix(".accumulated"): v for k, v in state_before.items() if k.endswith(".accumulated")}
        sites = preparation_sites(
            inner.name, inner.base_lr, inner.schedule, options, micro, gradients, gathered, before, common
        )
        if micro % inner.accumulate == inner.accumulate - 1:
            for name in network.parameters:
                gradient = inner.clipped.get(name, gathered.get(name, gradients[name]))
                sites[name] = self.update_site(name, gradient.copy(), state_before, common)
        return sites

    def update_site(
        self, name: str, gradient: np.ndarray, state_before: Mapping[str, np.ndarray], common: Mapping[str, Any]
    ) -> Site:
        """Return the site of one parameter's update, with the gradient as it enters the rule."""
        inner, kind = self.inner, type(self.inner).__name__
        before, after = (
            {
                key.removeprefix(f"{name}."): value.copy()
                for key, value in state.items()
                if key.startswith(f"{name}.") and not key.endswith(".accumulated")
            }
            for state in (state_before, inner.state)
        )
        decays = inner.weight_decay
        options = {option: getattr(inner, option) for option in OPTIONS[kind]}
        options |= {
            "lr": inner.lr_used, "weight_decay": decays.get(name, 0.0),
            "decay_of_weights": max(decays.values(), default=0.0),
        }  # fmt: skip
        right = {"updated": inner.network.parameters[name].copy(), **after}
        previous = inner.previous[name].copy()
        return Site(name, kind, previous, right, dy=gradient, state=before, options=options, **common)


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give an object another attribute for a while."""
    own = vars(owner)
    had, before = name in own, own.get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if had:
            setattr(owner, name, before)
        else:
            delattr(owner, name)
