"""Speed and memory, against what one would use instead: measured side by side, one thread each.

contestants   the two training loops without any check: manual's, and plain PyTorch's as anyone would write it
rounds        timing them in turns, so that a busy machine slows all of them alike
step, lockstep, layers, startup, memory   one benchmark each
entries       the layers, losses and optimizers that `layers` measures
suite         which are run; the machine they ran on
tables        showing what came out
"""

from compare.benchmark.suite import run_benchmarks
from compare.benchmark.tables import show

__all__ = ["run_benchmarks", "show"]
