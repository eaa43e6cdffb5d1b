"""The process of one cell: `backproof run` as anyone runs it, but it ends with the worker that started it.

Standard input is a pipe that the worker holds and never writes to. When the worker closes it or dies, of whatever, the
read returns: the run is interrupted as by Ctrl-C, so that its record is closed, and if that takes too long the process
ends at once.
"""

import _thread
import os
import sys
import threading
import time
from importlib import import_module

GRACE = 5.0  # seconds to close the record


def end_with_worker() -> None:
    """Wait for the worker's end of the pipe to close; then end this process."""
    os.read(0, 1)  # not sys.stdin: its lock, held by this thread, would be in the way at the end of the process
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for said in (1, 2):  # nobody reads them any more: a word would be an error, and end the record as one
        os.dup2(nowhere, said)
    _thread.interrupt_main()
    time.sleep(GRACE)
    os._exit(130)


if __name__ == "__main__":
    threading.Thread(target=end_with_worker, daemon=True).start()
    sys.argv[0] = "backproof"  # so that the record's command can be given again
    import_module("compare.cli").main()
