"""A port whose unit took the other side of a kink, in a trace that does not hold the pre-activation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare.agreement.kinks import ForcedSlope, forced_trace
from compare.exchange import export as exporting
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
