"""Who takes part in which case, and who does not and why."""

from collections.abc import Callable
from dataclasses import dataclass

from compare.benchmark.contestants.by_hand import by_example, by_manual
from compare.benchmark.contestants.by_jax import by_jax
from compare.benchmark.contestants.by_sklearn import by_sklearn, twin
from compare.benchmark.contestants.by_torch import compiled, eager
from compare.benchmark.contestants.contestant import Contestant
from compare.benchmark.contestants.engines import by_autograd, by_micrograd, by_tinygrad
from compare.benchmark.networks import is_dense
from compare.experiment.datasets import Dataset
from compare.experiment.description import Experiment

MANUAL, EAGER = "manual", ("torch", "torch foreach", "torch fused")


@dataclass(frozen=True)
class Entrant:
    """A contestant by name: how it is made, which cases it takes part in, and which network it trains."""

    make: Callable[[Experiment, Dataset], Contestant]
    outside: Callable[[Experiment], str] = lambda _: ""  # why it takes no part in a case; "" if it does
    trains: Callable[[Experiment], Experiment] = lambda experiment: experiment


def dense_alone(experiment: Experiment) -> str:
    """Leave out networks that are not linear layers and sigmoids."""
    return "" if is_dense(experiment) else "it is written here for linear layers and sigmoids alone"


def worth_compiling(experiment: Experiment) -> str:
    """Leave out most cases of torch.compile: each takes up to half a minute to compile."""
    few = experiment.training.batch_size in (10, 64) and is_dense(experiment) and len(experiment.layers) == 4
    return "" if few else "compiling takes up to half a minute a case: two networks and two batches stand for all"


def scalars(experiment: Experiment) -> str:
    """Leave out all but the smallest case of an engine of scalars."""
    smallest = len(experiment.layers) == 2 and experiment.training.batch_size == 1
    double = experiment.training.dtype == "float64"
    return (
        "" if smallest and double else "an engine of scalars, Python's floats: the smallest network, one example, alone"
    )


ENTRANTS: dict[str, Entrant] = {
    MANUAL: Entrant(by_manual),
    "torch": Entrant(eager(foreach=False)),
    "torch foreach": Entrant(eager(foreach=True)),
    "torch fused": Entrant(eager(fused=True)),
    "torch.compile": Entrant(compiled, worth_compiling),
    "scikit-learn": Entrant(by_sklearn, dense_alone, twin),
    "per example": Entrant(by_example, dense_alone),
    "jax.jit": Entrant(by_jax),
    "autograd": Entrant(by_autograd, dense_alone),
    "tinygrad": Entrant(by_tinygrad, dense_alone),
    "micrograd": Entrant(by_micrograd, scalars),
}
