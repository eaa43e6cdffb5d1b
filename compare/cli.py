"""The command line: the commands, and what becomes of an error: one message and an exit status, never a traceback."""

import errno
import os
import sys
from typing import NoReturn

from cyclopts import CycloptsError

from compare.commands import app
from compare.commands.app import COULD_NOT_RUN, INTERRUPTED, USAGE_ERROR

NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)


def main() -> None:
    """Run the command line; every error of the user's is one message and an exit status."""
    try:
        status = app(sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as wrong:
        fail(str(wrong), USAGE_ERROR)
    except KeyboardInterrupt:
        fail("Interrupted.", INTERRUPTED)
    except SystemExit as left:  # rich ends the program where the reader went away: no failure, as below
        sys.exit(0 if isinstance(left.__context__, BrokenPipeError) else left.code)
    except BrokenPipeError:  # the reader of standard output went away: `backproof list | head -1`
        sys.stderr.close()
        sys.exit(0)
    except OSError as failure:
        if failure.filename is not None or failure.errno not in NO_ROOM:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that nothing is tried again at the exit
        fail(f"standard output cannot be written ({failure.strerror}).", COULD_NOT_RUN)
    except Exception as error:
        status = expected(error)
        if status is None:
            raise
        fail(str(error), status)
    sys.exit(status or 0)


def expected(error: Exception) -> int | None:
    """Return the exit status of an error that speaks to the user, None for one of ours."""
    from compare.experiment.datasets import DataError
    from compare.experiment.description import DescriptionError

    if isinstance(error, DescriptionError):
        return USAGE_ERROR
    if isinstance(error, DataError):
        return COULD_NOT_RUN
    from compare.exchange.files import ExchangeError
    from compare.exercise.process import ExerciseError
    from compare.explain.course import CourseError
    from compare.explain.moment import ExplainError
    from compare.records.schema import RecordError
    from compare.sweep.backends import SweepError
    from compare.trackers.loading import TrackerError
    from compare.views.explainer import ExplainerError
    from compare.views.report import ReportError
    from reference import DistributedError

    ours = (
        CourseError, DistributedError, ExchangeError, ExerciseError, ExplainError, ExplainerError, RecordError,
        ReportError, SweepError, TrackerError,
    )  # fmt: skip
    return COULD_NOT_RUN if isinstance(error, ours) else None


def fail(message: str, status: int) -> NoReturn:
    """Print a message on standard error and leave with a status."""
    print(f"backproof: {message}", file=sys.stderr)
    sys.exit(status)
