"""The section of the description that tells where the initial weights come from."""

from dataclasses import dataclass

from compare.experiment.classes import INITIALIZERS, require, require_known
from compare.experiment.sections import Section

GIVEN = "given"


@dataclass(frozen=True)
class Initial(Section):
    """Where the initial weights and biases come from; low and high are for `uniform`, mean and std for `normal`.

    "given" for both is to say that nothing is drawn: all parameters of the network are handed in, from Python or in the
    safetensors file `file`, whose name alone says "given", too.
    """

    weight: str = "uniform"
    bias: str = "uniform"
    low: float = -1.0
    high: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    file: str = ""

    def check(self) -> None:
        """Raise DescriptionError for an unknown initializer or a range upside down."""
        if self.file or self.weight == GIVEN:
            object.__setattr__(self, "weight", GIVEN)
            object.__setattr__(self, "bias", GIVEN)
        require_known("initial.weight", self.weight, (*INITIALIZERS, GIVEN))
        biases = tuple(name for name in INITIALIZERS if not name.startswith(("xavier", "kaiming")))
        wanted = "given with initial.weight alone: whoever hands in parameters hands in all of them"
        require(self.bias != GIVEN or self.weight == GIVEN, "initial.bias", self.bias, wanted)
        require_known("initial.bias", self.bias, (*biases, GIVEN))
        require(self.low < self.high, "initial.low", self.low, f"a number below initial.high, which is {self.high}")
        require(self.std >= 0, "initial.std", self.std, "a number of at least 0")
        require("\0" not in self.file, "initial.file", self.file, "the name of a file")

    @property
    def is_given(self) -> bool:
        """Whether the parameters are handed in, and none is drawn."""
        return self.weight == GIVEN
