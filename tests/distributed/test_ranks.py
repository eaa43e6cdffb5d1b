"""The processes: alike or refused; ended with the one that started them, however it ends; missed at once by it."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reference
from compare import cli
from reference.distributed import Group
from tests.distributed import faults
from tests.distributed.test_averaging import batch, distributed, layers, step

# Under pytest the library of the command line suspects that sys.argv was forgotten; here it is what is tried.
pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

ROOT = Path(__file__).resolve().parents[2]
TRAINING = """
import sys
import numpy as np
from reference import DistributedNetwork, DistributedOptimizer, ShardLoss, build_layer

layers = {"linear1": build_layer("Linear", {"in_features": 4, "out_features": 3})}
parameters = {"linear1.weight": np.ones((3, 4)), "linear1.bias": np.ones(3)}
network = DistributedNetwork(layers, ShardLoss("MSELoss", {}), parameters, int(sys.argv[3]))
optimizer = DistributedOptimizer("SGD", network, lr=0.1)
print(network.group.folder, *(process.pid for process in network.group.processes), flush=True)
for number in range(int(sys.argv[1])):
    network.loss(np.ones((3, 4)), np.ones((3, 3)))
    network.backward()
    optimizer.step()
if sys.argv[2] == "raise":
    raise ValueError("as it happens")
"""


def running(pid: int) -> bool:
    """Whether there is such a process; one that has ended and was not asked after has ended."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:  # no /proc here
        return True


def gone(pids: list[int], seconds: float = 20) -> bool:
    """Whether all of these processes end in time."""
    deadline = time.monotonic() + seconds
    while any(running(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def start(*arguments: str) -> tuple["subprocess.Popen[str]", Path, list[int]]:
    """Start a training of its own on two ranks; return its process, its folder and the ranks' processes."""
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINING, *arguments], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    folder, *pids = process.stdout.readline().split()
    return process, Path(folder), [int(pid) for pid in pids]


def test_none_outlives_an_error_of_the_process_that_started_it() -> None:
    process, folder, pids = start("20", "raise", "1")
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.splitlines()[-1]) == (1, "ValueError: as it happens")
    assert len(pids) == 1
    assert gone(pids)
    assert not folder.exists()


def test_none_outlives_a_process_that_was_killed_in_a_step() -> None:
    process, folder, pids = start("1000000000", "", "2")
    assert len(pids) == 2
    assert all(running(pid) for pid in pids)
    time.sleep(0.2)  # somewhere in a step
    process.kill()
    _, err = process.communicate(timeout=60)
    assert err == ""
    assert gone(pids)
    assert not folder.exists()


def test_they_end_with_the_last_network_that_needs_them() -> None:
    network = small_network(1)
    group, (pid,) = network.group, [process.pid for process in network.group.processes]
    folder, other = group.folder, small_network(1)
    assert other.group is group
    del network, group
    gc.collect()
    assert running(pid)
    del other
    gc.collect()
    assert not running(pid)
    assert not folder.exists()


def small_network(ranks: int) -> reference.DistributedNetwork:
    linear = {"linear1": reference.build_layer("Linear", {"in_features": 4, "out_features": 3})}
    values = {"linear1.weight": np.ones((3, 4)), "linear1.bias": np.ones(3)}
    return reference.DistributedNetwork(linear, reference.ShardLoss("MSELoss", {}), values, ranks)


def test_a_rank_that_died_is_named_at_once() -> None:
    group = Group(1)
    (process,) = group.processes
    process.kill()
    began = time.monotonic()
    with pytest.raises(reference.DistributedError) as error:
        group.tell("seed", 0, names=[])
    assert time.monotonic() - began < 30  # nobody waits for what cannot come
    message = str(error.value)
    assert f"rank 0 of 1 (process {process.pid}) has ended by signal SIGKILL" in message
    assert "Run it again" in message
    assert "\n" not in message
    with pytest.raises(reference.DistributedError, match="have ended"):
        group.tell("seed", 0, names=[])


def test_ctrl_c_is_not_for_them(two: Group) -> None:
    network = distributed(2, reference.ShardLoss("MSELoss", {}))
    for process in two.processes:
        assert os.getpgid(process.pid) != os.getpgid(0)
        process.send_signal(signal.SIGINT)
    assert np.isfinite(network.loss(*batch(7)))


def test_interrupted_between_question_and_answer_the_group_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(1)
    (process,) = group.processes

    def interrupt(command: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(group, "hear", interrupt)
    with pytest.raises(KeyboardInterrupt):
        group.tell("seed", 0, names=[])
    assert not running(process.pid)


def test_what_a_rank_says_of_its_end_is_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "no-such-interface")
    with pytest.raises(
        reference.DistributedError, match=r"rank 0 of 1 \(process \d+\) has ended with status 1, saying"
    ):
        Group(1)


def test_each_has_one_thread(two: Group) -> None:
    network = distributed(2, reference.ShardLoss("MSELoss", {}), own=layers() | {"tanh1": faults.Threads()})
    network.loss(*batch(7))
    assert network.trace()["tanh1.output"].max() == 1


def test_a_dead_rank_is_one_message_and_status_3_on_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "compare", "run", "--world-size", "2", "--out", str(tmp_path)]
    process = subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not any(log.read_text() for log in tmp_path.glob("*/steps.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.02)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[1]), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 3
    (message,) = [line for line in err.splitlines() if "backproof:" in line]
    assert f"rank 1 of 2 (process {children[1]}) has ended by signal SIGKILL" in message
    assert "Traceback" not in err
    assert gone([int(pid) for pid in children])


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--json"], 0, '"verdict": "AGREES"'),
        (["--plant", "weight-gradient-doubled"], 1, "weight-gradient-doubled"),
    ],
)
def test_the_command_line(
    words: list[str], status: int, said: str, two: Group, small_data: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    line = ["backproof", "run", "--world-size", "2", "--steps", "4", "--batch-size", "7", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*line, *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    printed = capsys.readouterr()
    assert (left.value.code, printed.err) == (status, "")
    assert said in printed.out
    (record,) = tmp_path.iterdir()
    assert "world_size" in (record / "config.toml").read_text()


@pytest.mark.parametrize(
    ("layer", "lr", "tensor"),
    [
        (faults.OwnWay, 0.1, "linear1.weight"),
        (faults.OwnGradient, 0.1, "linear1.weight.grad"),
        (torch.nn.Linear, faults.OwnRate(0.1), "linear1.weight.updated"),
    ],
)
def test_ranks_that_are_not_alike_are_refused_by_rank_and_tensor(
    layer: Callable[[int, int], torch.nn.Module], lr: float, tensor: str, two: Group
) -> None:
    network = distributed(2, reference.ShardLoss("MSELoss", {}), own=layers() | {"linear1": layer(4, 5)})
    optimizer = reference.DistributedOptimizer("SGD", network, lr=lr)
    with pytest.raises(reference.DistributedError, match=rf"rank 1 has another {tensor} than rank 0"):
        step(network, optimizer, times=3)
