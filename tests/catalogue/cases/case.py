"""A case: one configuration of one entry of the catalogue, and the inputs that it is tried on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Shape = tuple[int | str, ...]  # a name stands for any size from 1 up


@dataclass(frozen=True)
class Case:
    """A layer, a loss or an optimizer as manual and torch.nn (or torch.optim) both make it."""

    kind: str  # the class: "Conv2d", "HuberLoss", "Adam"
    shape: Shape = ("batch", "n")  # of the input, a loss's prediction, or an optimizer's parameter
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of the constructor
    indices: int = 0  # an input of integers from 0 to this number less one (Embedding)
    between: tuple[float, float] | None = None  # inputs are drawn from here (probabilities); None: from anywhere
    target: Literal["", "like", "labels", "probabilities", "signs"] = ""  # what a loss is given beside the prediction
    classes: int = 0  # labels are drawn below this number; 0: the size of the prediction's second dimension
    training: bool = True  # False: the layer is in evaluation mode
    about: str = ""  # what is particular to the case

    def __str__(self) -> str:
        given = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
        return f"{self.kind}({given}) {self.shape}{'' if self.training else ' evaluation'} {self.about}".strip()
