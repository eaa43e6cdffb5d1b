"""The group of ranks, as the process sees it that started them: it tells all of them what to do, and hears all answer.

They are processes of their own that run `reference.distributed.rank`; the process that started them is none of the
ranks. They end when they can be told nothing more, so none outlives it however it ends; and the first word that one of
them has ended by itself ends the group with one message, so that nobody waits for an answer that cannot come.
"""

import contextlib
import itertools
import os
import pickle
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any, NoReturn

PATIENCE = 600.0  # seconds that an answer may take, and that the ranks wait for each other
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class DistributedError(Exception):
    """The ranks could not be started, one has ended, or they are not alike: says which, and what of it is known."""


class Group:
    """So many processes, that may hold several networks each; they end with the last reference to the group."""

    def __init__(self, ranks: int):
        """Start them. Raises DistributedError where they cannot be started."""
        self.ranks, self.alive = ranks, True
        self.folder = Path(tempfile.mkdtemp(prefix="backproof-ranks-"))
        self.answers: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self.lock, self.numbers = threading.Lock(), itertools.count()
        self.forgotten: list[int] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self.close = weakref.finalize(self, end, self.processes, self.folder, os.getpid())  # at exit at the latest
        try:
            for rank in range(ranks):
                self.processes.append(start(rank, ranks, self.folder))
        except OSError as refused:
            self.fail(f"The processes of {ranks} ranks cannot be started: {refused}.")
        for rank, process in enumerate(self.processes):
            threading.Thread(target=listen, args=(rank, process.stdout, self.answers), daemon=True).start()
        self.hear("start")

    def tell(self, command: str, network: int, *, each: list[dict[str, Any]] | None = None, **common: Any) -> list[Any]:
        """Give all ranks a command for a network, with arguments for `each` and others in `common`; return the answers.

        Raises DistributedError where a rank has ended; what torch raised in a forward pass is raised here again.
        """
        with self.lock:
            if not self.alive:
                raise DistributedError("The ranks have ended; wanted a new group of them. Start the run again.")
            forgotten, self.forgotten[:] = list(self.forgotten), []
            message = pickle.dumps((command, network, common, forgotten), pickle.HIGHEST_PROTOCOL)
            own = [pickle.dumps(arguments, pickle.HIGHEST_PROTOCOL) for arguments in each or [{}] * self.ranks]
            try:
                for process, rest in zip(self.processes, own, strict=True):
                    write(process, message, rest)
                return self.hear(command)
            except RuntimeError:
                raise
            except BaseException:  # somewhere between question and answer, as at Ctrl-C: neither is of use now
                self.stop()
                raise

    def hear(self, command: str) -> list[Any]:
        """Return the answer of every rank, by rank."""
        found: dict[int, Any] = {}
        while len(found) < self.ranks:
            try:
                rank, answer = self.answers.get(timeout=PATIENCE)
            except queue.Empty:
                silent = [rank for rank in range(self.ranks) if rank not in found]
                self.fail(f"Rank {silent[0]} of {self.ranks} has not answered for {PATIENCE:.0f} seconds.")
            if isinstance(answer, EOFError) or (isinstance(answer, RuntimeError) and command != "loss"):
                self.fail(self.obituary(rank, answer))
            found[rank] = answer
        for answer in found.values():
            if isinstance(answer, RuntimeError):
                raise answer
        return [found[rank] for rank in range(self.ranks)]

    def obituary(self, rank: int, answer: Exception) -> str:
        """Return the message about a rank that has ended, or could not go on: the first to have ended by itself.

        Others report at the same time that they have lost it.
        """
        for process in self.processes:  # those ending have a moment to do so
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
        killed = [r for r, p in enumerate(self.processes) if (p.returncode or 0) < 0]
        guilty = killed[0] if killed else rank
        status = self.processes[guilty].returncode
        if isinstance(answer, RuntimeError) and not killed:
            how = f"could not go on: {str(answer).splitlines()[0]}"
        elif status is None:
            how = "has stopped answering"
        else:
            how = f"has ended by signal {signal_name(-status)}" if status < 0 else f"has ended with status {status}"
        said = last_line(self.folder / f"rank{guilty}.log")
        return (
            f"The distributed reference is broken: rank {guilty} of {self.ranks} (process "
            f"{self.processes[guilty].pid}) {how}{f', saying: {said}' if said else ''}. Run it again; if memory was "
            "short, with a smaller world_size."
        )

    def fail(self, message: str) -> NoReturn:
        """End the group and raise DistributedError."""
        self.stop()
        raise DistributedError(message) from None

    def stop(self) -> None:
        """End the processes; whoever tells the group anything after that is refused."""
        self.alive = False
        self.close()


GROUPS: "weakref.WeakValueDictionary[int, Group]" = weakref.WeakValueDictionary()


def group_of(ranks: int) -> Group:
    """Return the group of so many ranks: the one that there is while a network of it is in use, else a new one."""
    group = GROUPS.get(ranks)
    if group is None or not group.alive:
        group = GROUPS[ranks] = Group(ranks)
    return group


def start(rank: int, ranks: int, folder: Path) -> "subprocess.Popen[bytes]":
    """Start the process of a rank, with one thread, apart from the terminal's Ctrl-C.

    It speaks to the others over this machine's own network interface, if nobody wants another.
    """
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | dict.fromkeys(ONE_THREAD, "1")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    own = [name for name in ("lo", "lo0") if name in interfaces()]
    if own:
        environment.setdefault("GLOO_SOCKET_IFNAME", own[0])
    command = [sys.executable, "-m", "reference.distributed.rank", str(rank), str(ranks), str(folder), str(PATIENCE)]
    with (folder / f"rank{rank}.log").open("wb") as log:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, start_new_session=True
        )


def interfaces() -> list[str]:
    """Return the names of this machine's network interfaces; none where the system does not tell."""
    with contextlib.suppress(OSError, AttributeError):
        return [name for _, name in socket.if_nameindex()]
    return []


def listen(rank: int, answers: Any, heard: "queue.SimpleQueue[tuple[int, Any]]") -> None:
    """Hand on what a rank answers, and an EOFError when it has ended."""
    with answers:
        while True:
            try:
                heard.put((rank, pickle.load(answers)))
            except (EOFError, OSError, pickle.UnpicklingError):
                heard.put((rank, EOFError()))
                return


def write(process: "subprocess.Popen[bytes]", *messages: bytes) -> None:
    """Tell a process something. That it has ended is heard where its answer is awaited."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.writelines(messages)
            process.stdin.flush()


def end(processes: "list[subprocess.Popen[bytes]]", folder: Path, owner: int) -> None:
    """End the processes that `owner` started, if this is it and not a fork of it; remove their folder."""
    if os.getpid() != owner:
        return
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
        with contextlib.suppress(BrokenPipeError):  # of something that it was never told
            if process.stdin is not None:
                process.stdin.close()
    shutil.rmtree(folder, ignore_errors=True)


def last_line(log: Path) -> str:
    """Return the last line of a file; "" if there is none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""


def signal_name(number: int) -> str:
    """Return a signal's name, such as SIGKILL, or its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
