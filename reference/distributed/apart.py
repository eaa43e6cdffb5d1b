"""Whether the examples of a batch stay apart in a network: only then may each rank be given some of them."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn


def mixing_layer(layers: Mapping[str, nn.Module], x: np.ndarray) -> str | None:
    """Return the first of the layers that mixes two examples x (2, ...), or None.

    It does where what it makes of one depends on the other, that is where a derivative is not exactly 0: no tolerance
    is in this. Each layer is given random numbers of the shape that it is given in the network, where no derivative
    vanishes by chance, and its output's gradient is random as well (that of a softmax is 0 for a gradient of ones). One
    that makes no rows for each example has lost them.
    """
    numbers, value = torch.Generator().manual_seed(0), torch.tensor(x)
    for name, layer in layers.items():
        if value.is_floating_point():
            value = torch.randn(value.shape, generator=numbers, dtype=torch.float64)
        given = value.requires_grad_(value.is_floating_point())
        value = layer.double()(given)
        if value.ndim < 2 or len(value) % 2:
            return name
        if given.requires_grad and not examples_apart(given, value, numbers):
            return name
        value = value.detach()
    return None


def examples_apart(given: torch.Tensor, output: torch.Tensor, numbers: torch.Generator) -> bool:
    """Whether the first half of the output depends on the first half of what was given alone, and the second likewise.

    Both are asked: a sequence read forwards is mixed one way only.
    """
    half, half_given = len(output) // 2, len(given) // 2
    upstream = torch.randn(output.shape, generator=numbers, dtype=output.dtype)
    first, second = upstream.clone(), upstream.clone()
    first[half:], second[:half] = 0, 0
    # Of a sum, for which autograd begins with 1: a gradient given to it from above is checked by means that take
    # torch longer to import than all the rest of this takes.
    (of_first,) = torch.autograd.grad((output * first).sum(), given, retain_graph=True)
    (of_second,) = torch.autograd.grad((output * second).sum(), given)
    return not (of_first[half_given:].any() or of_second[:half_given].any())
