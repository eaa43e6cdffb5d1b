"""A port that took the other side of a kink, in a trace that does not hold what the unit or the window was given."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare.agreement.kinks import ForcedSlope, forced_trace
from compare.exchange import export as exporting
from compare.exchange.crossing import GivenWinners
from compare.exchange.verify import verify
from compare.experiment.files import changes_of, read_experiment
from compare.experiment.networks import build_manual
from compare.experiment.streams import initial_parameters
from tests.exchange.port import raw, write_raw

UNIT = 5


@pytest.mark.parametrize(("moved", "verdict"), [(0.0, "EXPLAINED"), (1e-6, "DIVERGES")])
def test_a_unit_on_the_other_side_of_its_kink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_data: Any, moved: float, verdict: str
) -> None:
    experiment = read_experiment("relu", changes_of(steps=1, batch_size=3))

    def at_the_kink(*arguments: Any) -> dict[str, np.ndarray]:
        """Return initial parameters with which one unit of the first layer is 0 but for rounding at one example."""
        parameters = initial_parameters(*arguments)
        x, _ = next(exporting.exported_batches(experiment, small_data))
        parameters["linear1.bias"][UNIT] = moved - parameters["linear1.weight"][UNIT] @ x[1]
        return parameters

    monkeypatch.setattr(exporting, "initial_parameters", at_the_kink)
    folder = exporting.export(experiment, tmp_path / "export")
    parameters, batches = raw(folder)
    side = build_manual(experiment, parameters)
    side.network.loss(batches[1, "input"], batches[1, "target"])
    trace = side.network.trace()
    off = {f"relu{i}": trace[f"linear{i}.output"] <= 0 for i in (1, 2)}
    off["relu1"][1, UNIT] ^= True
    start = {"input": batches[1, "input"], "target": batches[1, "target"], **parameters}
    sides = {name: ForcedSlope(units, 0.0) for name, units in off.items()}
    other = forced_trace(experiment, side.network, start, {}, sides)
    write_raw(folder, {1: {name: np.array(other[name]) for name in other if name.endswith(("weight.grad", "loss"))}})
    outcome = verify(folder).to_json()
    assert outcome["verdict"] == verdict
    listed = [(kink["step"], kink["layer"], kink["example"], kink["unit"]) for kink in outcome["kinks"]]
    assert listed == ([(1, "relu1", 1, UNIT)] if verdict == "EXPLAINED" else [])


def tied(weight: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, tuple[int, int], np.ndarray]:
    """Return a 5 x 5 kernel with which a pooling window has two largest numbers, equal but for rounding.

    And the window's place, and by how much the kernel's change moves the two apart.
    """
    patches = np.lib.stride_tricks.sliding_window_view(np.pad(image, 2), (5, 5))  # (28, 28, 5, 5)
    for row, column in np.ndindex(14, 14):
        window = patches[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(4, 25)
        first, second = np.argsort(window @ weight.ravel())[:-3:-1]
        apart = window[first] - window[second]
        if not apart.any():
            continue
        kernel = weight.ravel() - apart * (weight.ravel() @ apart) / (apart @ apart)
        values = window @ kernel
        if (
            set(np.argsort(values)[-2:]) == {first, second}
            and values.max() > 0.1
            and np.ptp(np.sort(values)[-2:]) < 1e-12
        ):
            return kernel.reshape(5, 5), (row, column), (apart / (apart @ apart)).reshape(5, 5)
    raise AssertionError("No window of this image can be tied.")


@pytest.mark.parametrize(("moved", "verdict"), [(0.0, "EXPLAINED"), (1e-6, "DIVERGES")])
def test_a_window_with_its_second_number_as_the_winner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_data: Any, moved: float, verdict: str
) -> None:
    experiment = read_experiment("lenet", changes_of(steps=1, batch_size=2))
    x, target = next(exporting.exported_batches(experiment, small_data))
    places = []

    def at_the_kink(*arguments: Any) -> dict[str, np.ndarray]:
        """Return initial parameters with which a window of the first channel at the second example is tied."""
        parameters = initial_parameters(*arguments)
        kernel, place, direction = tied(parameters["conv2d1.weight"][0, 0], x[1, 0])
        parameters["conv2d1.weight"][0, 0] = kernel + moved * direction
        places.append(place)
        return parameters

    monkeypatch.setattr(exporting, "initial_parameters", at_the_kink)
    folder = exporting.export(experiment, tmp_path / "export")
    parameters, _ = raw(folder)
    side = build_manual(experiment, parameters)
    side.network.loss(x, target)
    given = side.network.trace()["relu1.output"]
    pool = GivenWinners(side.network.layers["maxpool2d1"], given)
    row, column = places[0]
    window = [(2 * row + i, 2 * column + j) for i, j in np.ndindex(2, 2)]
    second = sorted(window, key=lambda at: given[1, 0][at])[-2]
    if np.ravel_multi_index((1, 0, *second), given.shape) == pool.winner[1, 0, row, column]:
        second = sorted(window, key=lambda at: given[1, 0][at])[-1]
    pool.winner[1, 0, row, column] = np.ravel_multi_index((1, 0, *second), given.shape)
    other = forced_trace(
        experiment, side.network, {"input": x, "target": target, **parameters}, {}, {"maxpool2d1": pool}
    )
    write_raw(folder, {1: {name: np.array(other[name]) for name in other if name.endswith(("weight.grad", "loss"))}})
    outcome = verify(folder).to_json()
    assert outcome["verdict"] == verdict
    listed = [(kink["step"], kink["layer"], kink["example"], kink["unit"]) for kink in outcome["kinks"]]
    assert listed == ([(1, "maxpool2d1", 1, 14 * row + column)] if verdict == "EXPLAINED" else [])
