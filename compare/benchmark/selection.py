"""Which cases of a benchmark are measured: all, or those that were asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compare.benchmark.networks import DTYPES, NETWORKS
from compare.experiment.classes import require_known
from compare.experiment.description import DescriptionError, DTypeName


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Selection:
    """One network, one batch size, one dtype; "" and 0 stand for all. `tell` is told what is measured next."""

    network: str = ""
    batch: int = 0
    dtype: str = ""
    tell: Callable[[str], None] = silent

    def __post_init__(self) -> None:
        """Raise DescriptionError for a name that is not known."""
        if self.network:
            require_known("network", self.network, NETWORKS)
        if self.dtype:
            require_known("dtype", self.dtype, DTYPES)
        if not 0 <= self.batch <= 60_000:
            raise DescriptionError(f"batch is {self.batch}; wanted a whole number from 1 to 60000.")

    def networks(self, usual: Sequence[str]) -> list[str]:
        """Return the networks to measure."""
        return [self.network] if self.network else list(usual)

    def batches(self, usual: Sequence[int]) -> list[int]:
        """Return the batch sizes to measure."""
        return [self.batch] if self.batch else list(usual)

    def dtypes(self, usual: Sequence[DTypeName]) -> list[DTypeName]:
        """Return the dtypes to measure."""
        return [name for name in DTYPES if name == self.dtype] if self.dtype else list(usual)


ALL = Selection()
