"""The folder of a record: made whole in one move, each file in it written whole in one move, one writer at a time.

Whatever moment a process dies at, a folder with a record's name holds a readable record, and no file in it is half
written but the log of steps, whose last line may be cut.
"""

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from compare.experiment.description import Experiment
from compare.experiment.files import to_toml
from compare.records.schema import RecordError

LOCK = ".lock"


def config_id(experiment: Experiment) -> str:
    """Return the first 8 digits of the SHA-256 of the resolved experiment."""
    return hashlib.sha256(to_toml(experiment).encode()).hexdigest()[:8]


def new_folder(results: Path, experiment: Experiment, fill: Callable[[Path], None]) -> Path:
    """Make a record's folder, with what `fill` writes into it, and return it. Raises OSError or RecordError.

    It is filled under a hidden name and then moved to its own, so that nobody ever sees it half made, and so that two
    runs that start at the same instant get two folders: a move onto another record fails.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{stamp}_{experiment.name}_s{experiment.training.seed}_{config_id(experiment)}"
    hidden = results / f".{uuid.uuid4().hex}.new"
    hidden.mkdir(parents=True)
    try:
        fill(hidden)
        for number in range(1, 1000):
            folder = results / (name if number == 1 else f"{name}_{number}")
            try:
                hidden.rename(folder)
            except OSError as taken:
                if taken.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise
            else:
                return folder
    except BaseException:
        remove(hidden)
        raise
    remove(hidden)
    raise RecordError(f"{results}: 1000 records of this second are there already.")


def remove(folder: Path) -> None:
    """Remove a folder of files, as far as that is possible."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place, on to the disk, and put it in its place in one move. Raises OSError."""
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.unlink(missing_ok=True)  # what a killed process left; or a link that came with the record
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


@contextlib.contextmanager
def only_writer(folder: Path, what: str = "record") -> Iterator[None]:
    """Hold the folder while it is written. Raises RecordError if another process does; a dead one holds nothing.

    `what` it is the folder of, for the message.
    """
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise RecordError(f"{folder}: another process is writing this {what}; wait for it, or stop it first.") from None
    except OSError as failure:
        raise RecordError(f"{folder}: the {what} cannot be written ({failure.strerror}).") from None
    try:
        yield
    finally:
        lock.release()


def in_use(folder: Path) -> bool:
    """Whether a process is writing this record now."""
    if (folder / LOCK).is_symlink() or not (folder / LOCK).is_file():  # a lock is emptied: not what a link leads to
        return False
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:  # it is on a disk that cannot be written: nobody does
        return False
    lock.release()
    return False
