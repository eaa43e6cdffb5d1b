"""The process of an answer, seen from the side that judges: arrays go there, arrays come back, in limited time."""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from compare.exercise.wire import WireError, decode, encode
from compare.language import say

SECONDS = 10.0  # of one request; of all together there are more, see `compare.exercise.child`
STARTING = 60.0  # a busy machine takes its time to import NumPy
QUIET = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class AnswerError(Exception):
    """The process of an answer died, is silent, or talks nonsense: the answer cannot be judged."""


class ExerciseError(Exception):
    """An answer that could not be judged, for a reason that is not its own."""


def printable(text: str) -> str:
    """Return a text of somebody else's without what a terminal would obey, or could not print."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


class Process:
    """One answer's process, for as many requests as it takes; a context manager."""

    def __init__(self, code: str, facts: Mapping[str, Any], seconds: float = SECONDS):
        self.seconds = seconds
        folder = Path(__file__).parent
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(folder / "child.py"), str(folder)], env=kept | QUIET,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0, close_fds=True,
        )  # fmt: skip
        self.deadline = time.monotonic() + STARTING
        self.send(encode({"code": code, **facts}, {}))
        try:
            decode(self.read)  # it is ready
        except AnswerError:
            self.__exit__(None, None, None)
            raise

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self.process.wait()

    def ask(
        self, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what the answer makes of these arrays. Raises AnswerError where it gives none."""
        self.deadline = time.monotonic() + self.seconds
        self.send(encode(facts, arrays))
        try:
            told, found = decode(self.read)
        except WireError as wrong:
            raise AnswerError(say("its process answered what is no answer ({wrong})", wrong=wrong)) from None
        if "unreal" in told:
            raise AnswerError(say("it computes with {kind}; wanted real numbers of at most 8 bytes: a derivation needs "
                                  "no others", kind=printable(str(told["unreal"])[:40])))  # fmt: skip
        if "says" in told:
            told["says"] = printable(str(told["says"]))
        return told, found

    def send(self, message: bytes) -> None:
        """Write a message. Raises AnswerError where nobody reads it."""
        assert self.process.stdin is not None
        try:
            while message:
                message = message[self.process.stdin.write(message) :]
        except OSError:
            raise AnswerError(say("its process ended")) from None

    def read(self, count: int) -> bytes:
        """Return exactly this many bytes. Raises AnswerError where they do not come in time."""
        assert self.process.stdout is not None
        found, pipe = bytearray(), self.process.stdout.fileno()
        while len(found) < count:
            left = self.deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                raise AnswerError(say("it did not end within {seconds:g} seconds", seconds=self.seconds))
            part = os.read(pipe, min(count - len(found), 1 << 20))
            if not part:
                raise AnswerError(say("its process ended"))
            found += part
        return bytes(found)
