"""The commands, a room for each kind. Nothing heavy is imported before one runs.

app         what they share: the application, kinds of options, exit statuses
runs        run
records     replay, resume
reports     report
explaining  explain: one weight through the chain rule
exercises   exercise: a backward pass for the reader to derive
own         check: one derivation of the user's own
sweeps      sweep: many runs, in parallel
ports       export, verify: an implementation in any language
trials      list, selftest
bench       bench: how fast, against what one would use instead
figures     figures: those of manual/DERIVATION.md
confusions  confusions: what accuracy makes of planted mistakes
reproductions  reproduce: published results, theirs beside ours
"""

from compare.commands import (  # noqa: F401 - they declare them
    bench,
    confusions,
    exercises,
    explaining,
    figures,
    own,
    ports,
    records,
    reports,
    reproductions,
    runs,
    sweeps,
    trials,
)
from compare.commands.app import app

__all__ = ["app"]
