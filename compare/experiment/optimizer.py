"""The section of the description that tells how the weights are updated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np

import manual
from compare.experiment.classes import OPTIMIZERS, DescriptionError, nearest, require, require_known
from compare.experiment.sections import Section
from manual.optimizers import OPTIONS as OPTIMIZER_OPTIONS


@dataclass(frozen=True)
class Optimizer(Section):
    """The optimizer. `decays` tells which parameters the weight decay applies to: all, as in torch, or the weights.

    An option that is None is the class's own default (of SGD's lr: 0.1); `arguments` are the options that have no field
    of their own here: Adam's betas, RMSprop's alpha, ...
    """

    kind: str = "SGD"
    lr: float = cast("float", None)
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = cast("float", None)
    nesterov: bool = False
    decays: Literal["all", "weights"] = "all"
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put the class's own defaults in the places of what is not given; then check, as every section does."""
        self.check_type("kind", str)
        require_known("optimizer.kind", self.kind, OPTIMIZERS)
        usual = self.defaults() | ({"lr": 0.1} if self.kind == "SGD" else {})
        for key in ("lr", "weight_decay"):
            if getattr(self, key) is None:
                object.__setattr__(self, key, usual[key])
        super().__post_init__()

    def check(self) -> None:
        """Raise DescriptionError for a value out of range."""
        known = self.defaults()
        for key in ("lr", "momentum", "weight_decay"):
            require(getattr(self, key) >= 0, f"optimizer.{key}", getattr(self, key), "a number of at least 0")
        possible = not self.nesterov or (self.momentum > 0 and self.dampening == 0)
        require(possible, "optimizer.nesterov", self.nesterov, "momentum above 0 and dampening 0 with it")
        for key, unset in (("momentum", 0.0), ("dampening", 0.0), ("nesterov", False)):
            allowed = key in known or getattr(self, key) == unset
            require(allowed, f"optimizer.{key}", getattr(self, key), f"none: {self.kind} has no such option")
        for key in self.arguments:
            if key not in known:
                raise DescriptionError(f"[optimizer] {self.kind} has no option {key!r}.{nearest(key, known)}")
        schedule = self.arguments.get("schedule")
        shaped = schedule is None or isinstance(schedule, Mapping)
        require(shaped, "optimizer.schedule", schedule, "a table, [optimizer.schedule]")
        try:
            self.made_for({})
        except (TypeError, ValueError) as wrong:
            raise DescriptionError(f"[optimizer] {wrong}") from None

    def defaults(self) -> dict[str, Any]:
        """Return the options of the optimizer's class, and of what comes before its rule, with their defaults."""
        return dict(OPTIMIZER_OPTIONS[self.kind])

    def options(self, parameters: list[str]) -> dict[str, Any]:
        """Return the arguments that both sides' optimizers take, for a network with these parameters."""
        decay = {p: self.weight_decay for p in parameters if self.decays == "all" or p.endswith("weight")}
        known = self.defaults()
        own = {key: getattr(self, key) for key in ("momentum", "dampening", "nesterov") if key in known}
        return {"lr": self.lr, **own, **self.arguments, "weight_decay": decay}

    def made_for(self, parameters: Mapping[str, np.ndarray]) -> Any:
        """Return manual's optimizer for a network with these parameters."""
        network: Any = SimpleNamespace(parameters=dict(parameters), gradients={})
        return getattr(manual, self.kind)(network, **self.options(list(parameters)))
