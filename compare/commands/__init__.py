"""The commands, a room for each kind. Nothing heavy is imported before one runs.

app       what they share: the application, kinds of options, exit statuses
runs      run
records   replay, resume
reports   report
own       check: one derivation of the user's own
sweeps    sweep: many runs, in parallel
ports     export, verify: an implementation in any language
trials    list, selftest, bench
exercises exercise: a backward pass for the reader to derive
"""

from compare.commands import exercises, own, ports, records, reports, runs, sweeps, trials  # noqa: F401 - they declare them
from compare.commands.app import app

__all__ = ["app"]
