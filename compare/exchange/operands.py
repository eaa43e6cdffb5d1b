"""What every operation of a step is given, by the names of the tensors."""

from itertools import pairwise

from compare.agreement.operations import own_kind
from compare.agreement.trace import places
from compare.exchange.companions import state_keys
from compare.exchange.steps import Taken
from compare.experiment.description import Experiment


def operands(experiment: Experiment, names: list[str]) -> dict[str, set[str]]:
    """Return for every computed tensor of a step the names of what its operation is given.

    The optimizer's state before the step is not among them: those are no tensors of this step.
    """
    found: dict[str, set[str]] = {}
    layers = ["input", *(layer.name for layer in experiment.layers)]
    for below, layer in pairwise(layers):
        x = "input" if below == "input" else f"{below}.output"
        own = {kind: own_names(names, layer, kind) for kind in ("parameters", "buffers", "drawn")}
        forward = {x, *own["parameters"], *own["drawn"]}
        found[f"{layer}.output"] = forward
        found |= {f"{buffer}.updated": {*forward, *own["buffers"]} for buffer in own["buffers"]}
        backward = {*forward, f"{layer}.output.grad"}
        found |= {f"{parameter}.grad": backward for parameter in own["parameters"]}
        found[f"{below}.output.grad"] = backward
    last = f"{layers[-1]}.output"
    found["loss"] = found[f"{last}.grad"] = {last, "target"}
    return {name: given for name, given in (found | of_update(experiment, names)).items() if name in names}


def own_names(names: list[str], layer: str, kind: str) -> list[str]:
    """Return the full names of a layer's parameters, buffers, or what it drew: those of layers inside it, too."""
    return [name for name in names if name.startswith(f"{layer}.") and own_kind(name) == kind]


def of_update(experiment: Experiment, names: list[str]) -> dict[str, set[str]]:
    """Return the same for what the optimizer makes: gradients gathered and clipped, the rate, state, parameters."""
    kind = experiment.optimizer.kind.lower()
    parameters = [name for name in names if own_kind(name) == "parameters"]
    gathered = {p: f"{p}.grad.accumulated" if f"{p}.grad.accumulated" in names else f"{p}.grad" for p in parameters}
    clipped = {p: f"{p}.grad.clipped" if f"{p}.grad.clipped" in names else gathered[p] for p in parameters}
    rate = {f"{kind}.lr"} & set(names)
    found: dict[str, set[str]] = {name: set() for name in rate}
    state = {name: key.rpartition(".")[0] for name, key in state_keys(kind, names).items()}
    for p in parameters:
        found[f"{p}.grad.accumulated"] = {f"{p}.grad"}
        found[f"{p}.grad.clipped"] = set(gathered.values())
        rule = {p, clipped[p], *rate}
        found |= {
            name: rule for name in (f"{p}.updated", *(n for n, of in state.items() if of == p)) if name not in found
        }
    return found


def unwatched(experiment: Experiment, taken: Taken, name: str) -> list[str]:
    """Return the operations between what is known of the step and this tensor, in the order of the step."""
    inputs = operands(experiment, list(taken.reference))
    passed, todo = set(), [name]
    while todo:
        tensor = todo.pop()
        if tensor not in passed and tensor in inputs:
            passed.add(tensor)
            todo += [operand for operand in inputs[tensor] if operand not in taken.known]
    where = places(list(taken.reference), [layer.name for layer in experiment.layers])
    return list(dict.fromkeys(where[n].operation for n in taken.reference if n in passed))
