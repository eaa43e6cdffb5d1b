"""Peak memory of the default run, shortened to two lengths: it must fit, and not grow with the steps.

python -m compare.benchmark.memory STEPS      take such a run and print its peak in bytes
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from compare.benchmark.child import run_python
from compare.benchmark.rounds import met

LENGTHS, QUICK_LENGTHS = (500, 3000), (5, 20)
LIMIT, GROWTH = {"at_most": float(2**30)}, {"at_most": 1.05}


def measure_memory(quick: bool) -> list[dict[str, Any]]:
    """Return the peak resident memory of a short and of a long run, each in a process of its own."""
    lengths = QUICK_LENGTHS if quick else LENGTHS
    peaks = [int(run_python("-m", "compare.benchmark.memory", str(steps)).stdout) for steps in lengths]
    rows: list[dict[str, Any]] = [
        {"case": f"{steps:,} steps", "steps": steps, "bytes": peak, "target": LIMIT, "met": met(peak, LIMIT)}
        for steps, peak in zip(lengths, peaks, strict=True)
    ]
    growth = peaks[1] / peaks[0]
    rows[1] |= {"growth": growth, "growth_target": GROWTH, "met": rows[1]["met"] and met(growth, GROWTH)}
    return rows


def peak_bytes() -> int:
    """Return the largest resident memory that this process has had.

    Linux keeps it for the program itself in /proc. What getrusage says there may be the peak of the process that
    started this one; elsewhere it serves, in bytes (macOS).
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        import resource  # not on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    from compare.proof import run

    with tempfile.TemporaryDirectory() as folder:
        run(steps=int(sys.argv[1]), out=folder)
    print(peak_bytes())
