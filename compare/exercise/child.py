"""The process that runs an answer: it gets arrays, runs forward and the reader's backward, and gives arrays back.

Started as a script of its own, with NumPy alone: `python -I child.py FOLDER`, FOLDER being that of wire.py. What it
runs has passed the rules already (compare.exercise.rules); here the doors are shut all the same, before it is compiled:
nothing can be imported, opened, started or connected to, and what it prints goes nowhere. It judges nothing.
"""

import contextlib
import io
import os
import sys
from typing import Any

import numpy as np

SECONDS, MEMORY = 60, 4 << 30  # of CPU time; bytes
WHOLE = 63  # bits of a whole number
SHUT = (
    "import", "open", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "sys._getframe", "sys.setprofile",
    "sys.settrace", "mmap.", "fcntl.", "pty.", "signal.", "_thread.", "gc.", "marshal.", "pickle.", "code.",
    "object.__setattr__", "urllib.", "http.", "glob.", "tempfile.", "pathlib.", "winreg.", "msvcrt.", "resource.",
)  # fmt: skip


def shut(event: str, _: Any) -> None:
    """Refuse what an answer has no need of. An audit hook cannot be taken away again."""
    if event.startswith(SHUT):
        raise PermissionError(f"an answer computes: {event} is shut")


def limit() -> None:
    """Limit time and memory, and writing of files, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


class NotReal(Exception):
    """An answer's result is complex, wider than 8 bytes a number, or no number: its text is the type."""


def power(a: Any, b: Any) -> Any:
    """Return a ** b. Raises NotReal where that is complex, or a whole number too large to be computed."""
    if isinstance(a, int) and isinstance(b, int) and b > 0 and (abs(a).bit_length() - 1) * b > WHOLE:
        raise NotReal("int")
    return real(a**b)


def real(value: Any) -> Any:
    """Return a result as it is. Raises NotReal for what is more than numbers of 8 bytes.

    With complex numbers, long doubles or whole numbers of any length a difference is as exact as a derivative.
    """
    for part in value if type(value) is tuple else (value,):
        if isinstance(part, np.ndarray | np.generic):
            if part.dtype.kind not in "fiub" or part.dtype.itemsize > 8:
                raise NotReal(str(part.dtype))
        elif isinstance(part, complex) or (isinstance(part, int) and part.bit_length() > WHOLE):
            raise NotReal(type(part).__name__)
    return value


class Runner:
    """Makes the exercise's object anew for every request, and runs it."""

    def __init__(self, code: Any, facts: dict[str, Any]):
        self.names: dict[str, Any] = {"__name__": "exercise", "_power": power, "_real": real}
        exec(code, self.names)
        self.made, self.group = self.names[facts["kind"]], facts["group"]
        self.arguments = self.argument(facts["arguments"])
        if isinstance(self.arguments.get("layers"), dict):
            self.arguments["layers"] = {
                name: (self.names[kind], options) for name, (kind, options) in self.arguments["layers"].items()
            }

    def argument(self, value: Any) -> Any:
        """Return an argument as manual takes it: JSON has lists for tuples."""
        if isinstance(value, list):
            return tuple(self.argument(part) for part in value)
        return {k: self.argument(part) for k, part in value.items()} if isinstance(value, dict) else value

    def new(self, parameters: dict[str, Any]) -> Any:
        """Return a new object with these parameters."""
        if self.group == "network":
            return self.made(parameters)
        arguments = dict(self.arguments)
        if "layers" in arguments:
            arguments["layers"] = {n: kind(**options) for n, (kind, options) in arguments["layers"].items()}
        return self.made(**arguments)

    def run(self, facts: dict[str, Any], arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what one request comes to; passes that came before it are run on the same object first."""
        passes = [grouped(arrays, number) for number in range(facts.get("passes", 1))]
        if self.group == "optimizer":
            return self.steps(passes[0])
        made = self.new(passes[0].get("parameters", {}))
        if "training" in facts and hasattr(made, "training"):
            made.training = facts["training"]
        for given in passes[:-1]:
            self.both(made, given)
        return told(*self.both(made, passes[-1]), made, self.group)

    def both(self, made: Any, given: dict[str, dict[str, Any]]) -> tuple[Any, list[Any], list[Any]]:
        """Run forward and backward; return what backward returned, and the arrays that the two were given."""
        inputs, above = (ordered(given.get(group, {})) for group in ("inputs", "above"))
        for group in ("parameters", "buffers"):
            for name, array in given.get(group, {}).items():
                getattr(made, group)[name] = array
        if "drawn" in given:
            made.replay(given["drawn"])
        made.forward(*inputs)
        return made.backward(*above), inputs, above

    def steps(self, group: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the parameters and the state after every step of an optimizer."""
        network = Network(dict(group["parameters"]))
        optimizer, found = self.made(network, **self.arguments), {}
        changed: list[str] = []
        for number in sorted(group["above"], key=lambda key: int(key.partition(".")[0])):
            step, _, name = number.partition(".")
            network.gradients[name] = group["above"][number]
            if len(network.gradients) < len(network.parameters):
                continue
            before = {n: g.copy() for n, g in network.gradients.items()}
            optimizer.step()
            changed += [n for n, g in before.items() if not np.array_equal(network.gradients[n], g)]
            kept = {**optimizer.state, **{f"{n}.updated": p for n, p in network.parameters.items()}}
            found |= {f"step{step}.{key}": np.array(value) for key, value in kept.items() if is_array(value)}
            network.gradients = {}
        return {"changed": changed}, found


class Network:
    """What an optimizer needs of a network."""

    def __init__(self, parameters: dict[str, Any]):
        self.parameters = parameters
        self.gradients: dict[str, Any] = {}


def grouped(arrays: dict[str, Any], number: int) -> dict[str, dict[str, Any]]:
    """Return the arrays of one pass by what they are: `0/inputs/000` is in its group `inputs`."""
    found: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        of, group, own = name.split("/", 2)
        if int(of) == number:
            found.setdefault(group, {})[own] = array
    return found


def ordered(arrays: dict[str, Any]) -> list[Any]:
    """Return numbered arrays in their order."""
    return [arrays[key] for key in sorted(arrays)]


def told(returned: Any, inputs: list[Any], above: list[Any], made: Any, group: str) -> tuple[Any, Any]:
    """Return what backward gave: the gradients by name, and the arrays that it was given, as they are now."""
    if group == "network":
        named = dict(returned) if type(returned) is dict else {"": returned}
    else:
        named = {"0": returned}
        for name, gradient in dict(getattr(made, "gradients", {})).items():
            named[f"gradients/{name}"] = gradient
    facts = {"kinds": {name: kind_of(value) for name, value in named.items() if type(name) is str}}
    arrays = {name: np.array(value) for name, value in named.items() if type(name) is str and is_array(value)}
    arrays |= {f"inputs/{i}": x for i, x in enumerate(inputs)} | {f"above/{i}": x for i, x in enumerate(above)}
    return facts, arrays


def is_array(value: Any) -> bool:
    """Whether a value is an array of real numbers, or one such number; nothing that only behaves like one."""
    plain = type(value) is np.ndarray or isinstance(value, np.generic | float | int)
    return plain and np.asarray(value).dtype.kind in "fiub" and np.asarray(value).dtype.itemsize <= 8


def kind_of(value: Any) -> str:
    """Return what a value is, in a word."""
    return "None" if value is None else type(value).__name__


def main() -> None:
    """Read the exercise, shut the doors, and answer requests until there are no more."""
    import wire  # it lies beside this file

    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.stdout = sys.stderr = io.StringIO()

    def read(count: int) -> bytes:
        found = source.read(count)
        if len(found) < count:
            raise SystemExit
        return found

    facts, _ = wire.decode(read)
    code = compile(facts["code"], "exercise", "exec")
    limit()
    warm_up()
    sys.path[:], sys.meta_path[:], sys.path_hooks[:] = [], [], []
    sys.addaudithook(shut)
    runner = Runner(code, facts)
    send(sink, wire.encode({"ready": True}, {}))
    while True:
        facts, arrays = wire.decode(read)
        try:
            with np.errstate(all="ignore"):
                answer = runner.run(facts, arrays)
        except NotReal as found:
            answer = {"unreal": str(found)}, {}
        except BaseException as error:
            answer = {"raised": type(error).__name__, "says": str(error)[:300]}, {}
        send(sink, wire.encode(*answer))


def send(sink: Any, message: bytes) -> None:
    """Write a message, at once."""
    sink.write(message)
    sink.flush()


def warm_up() -> None:
    """Use what NumPy imports only when it is first used."""
    x = np.arange(4.0).reshape(2, 2)
    np.einsum("ij,jk->ik", x, x, optimize=True)
    np.pad(x, 1)
    np.unique(x)
    np.random.default_rng(0)
    np.add.at(x, (0, 0), 1.0)
    str(x)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    main()
