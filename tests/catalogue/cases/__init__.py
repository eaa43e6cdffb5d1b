"""The one list of cases that all checks of the catalogue run over: adding an entry is adding a line."""

from tests.catalogue.cases import (
    attention,
    convolution,
    losses,
    normalization,
    optimizers,
    recurrent,
    smooth,
    structure,
)
from tests.catalogue.cases.case import Case

CASES: list[Case] = [
    case
    for room in (smooth, structure, convolution, normalization, recurrent, attention, losses, optimizers)
    for case in room.CASES
]
