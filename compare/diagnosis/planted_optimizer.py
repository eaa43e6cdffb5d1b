"""An optimizer with a mistake in it: it takes the right step first, then takes it back and takes the wrong one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from compare.diagnosis.planted import Planted
from compare.diagnosis.preparation import preparation_sites
from compare.diagnosis.site import Site
from manual.optimizers import OPTIONS, Optimizer


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
