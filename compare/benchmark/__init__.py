"""Speed and memory, against what one would use instead: measured side by side, one thread each.

networks      the networks that are raced, their data and initial weights
contestants   who trains them: manual, PyTorch, scikit-learn, JAX, ...; and that they compute the same step
selection     which of the cases are measured
rounds        timing them in turns, so that a busy machine slows all of them alike
step, limit, lockstep, growth, recording, layers, startup, memory   one benchmark each (growth: a sweep's too)
entries       the layers, losses and optimizers that `layers` measures
suite         which are run; the machine they ran on
tables        showing what came out
page, plot    the same as a page and a picture, from the JSON alone
files         the three on disk
"""

from compare.benchmark.files import read_results, write_results
from compare.benchmark.selection import Selection
from compare.benchmark.suite import run_benchmarks
from compare.benchmark.tables import show

__all__ = ["Selection", "read_results", "run_benchmarks", "show", "write_results"]
