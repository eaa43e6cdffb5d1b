"""What holds of every entry of the catalogue: torch's arguments and defaults, and mistakes of its own."""

import inspect

import pytest
import torch

import manual
from compare.diagnosis.mistakes import CATALOGUE
from compare.experiment.classes import LAYERS, LOSSES, OPTIMIZERS

OURS = {"Positions", "Residual"}  # torch.nn has no such layer
PLACE = {"self", "device", "dtype"}  # where torch keeps a tensor, not what a layer computes
ADDED = {"MultiheadAttention": {"is_causal": False}}  # for a network, which gives a layer its input alone
LEFT_OUT = {"Embedding": {"_weight", "_freeze"}}  # torch's own
CHOSEN = {"Softmax": {"dim": -1}, "LogSoftmax": {"dim": -1}}  # torch leaves it open, and warns
RECURRENT = ("RNN", "LSTM", "GRU")
FEW = 4  # a mistake of no more than so many kinds is particular to them
TRIVIAL = {"Flatten"}


def signature_of_torch(kind: str) -> list[tuple[str, object]]:
    made = torch.nn.RNNBase if kind in RECURRENT else getattr(torch.nn, kind)  # theirs are *args, and its
    parameters = inspect.signature(made.__init__).parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [(p.name, p.default) for p in parameters if p.name not in PLACE and p.kind not in variable]


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind not in OURS])
def test_a_layers_arguments_are_torchs_in_torchs_order(kind: str) -> None:
    ours = [
        (p.name, p.default) for p in inspect.signature(getattr(manual, kind)).parameters.values() if p.name != "rng"
    ]
    theirs = [entry for entry in signature_of_torch(kind) if entry[0] not in LEFT_OUT.get(kind, ())]
    if kind in RECURRENT:
        ours = [entry for entry in ours if entry[0] != "nonlinearity"]
        theirs = [entry for entry in theirs if entry[0] != "mode" and (kind == "LSTM" or entry[0] != "proj_size")]
    chosen = CHOSEN.get(kind, {})
    wanted = [(name, chosen.get(name, default)) for name, default in theirs] + list(ADDED.get(kind, {}).items())
    assert ours == wanted


@pytest.mark.parametrize("kind", [kind for kind in (*LAYERS, *LOSSES, *OPTIMIZERS) if kind not in TRIVIAL])
def test_at_least_two_mistakes_are_particular_to_an_entry(kind: str) -> None:
    assert sum(kind in mistake.on and len(mistake.on) <= FEW for mistake in CATALOGUE.values()) >= 2
