"""What a command line names: FILE.py:NAME, sizes and arguments written as text."""

import ast
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from compare.experiment.classes import USER_FILES, nearest
from compare.experiment.description import DescriptionError


def load(text: str, option: str) -> Any:
    """Return what FILE.py:NAME stands for. Raises DescriptionError where there is no such file or name."""
    file, colon, name = text.rpartition(":")
    if not colon or not name:
        raise DescriptionError(f"{option} is {text!r}; wanted FILE.py:NAME, such as my_layers.py:Swish.")
    path = Path(file).resolve()
    if path.suffix != ".py" or not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        hint = nearest(path.name, [p.name for p in folder.glob("*.py")]) if any(folder.glob("*.py")) else ""
        raise DescriptionError(f"{option} is {text!r}; there is no Python file {file}.{hint} Wanted FILE.py:NAME.")
    if path not in USER_FILES:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise DescriptionError(f"{file} cannot be imported.")
        module = importlib.util.module_from_spec(spec)
        sys.path.insert(0, str(path.parent))  # the file may import its neighbours, as a script may
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as broken:  # a user's file may raise anything
            raise DescriptionError(f"{file} cannot be imported: {type(broken).__name__}: {broken}") from broken
        finally:
            sys.path.remove(str(path.parent))
        USER_FILES[path] = module
    known = {key: value for key, value in vars(USER_FILES[path]).items() if not key.startswith("__")}
    if name not in known:
        own = [key for key, value in known.items() if getattr(value, "__module__", None) == path.stem] or list(known)
        hint = nearest(name, own) if own else " It is empty."
        raise DescriptionError(f"{option} is {text!r}; {file} has no {name!r}.{hint}")
    return known[name]


def read_shapes(shapes: Iterable[str]) -> Any:
    """Return the shapes of `batch,n`: one, several in a list, or by name where they are written NAME=batch,n."""
    given = list(shapes)
    if any("=" in shape for shape in given):
        pairs = [shape.partition("=") for shape in given]
        if not all(equals for _, equals, _ in pairs):
            raise DescriptionError(f"--shape is {given}; wanted a name before every shape, or before none: x=batch,n.")
        return {name.strip(): sizes for name, _, sizes in pairs}
    return given[0] if len(given) == 1 else [tuple(shape.split(",")) for shape in given]


def read_pairs(pairs: Iterable[str], option: str) -> dict[str, Any]:
    """Return the mapping of KEY=VALUE pairs; a value is a Python literal, or the text as it stands."""
    read = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip().isidentifier():
            raise DescriptionError(f"{option} is {pair!r}; wanted NAME=VALUE, such as negative_slope=0.2.")
        try:
            read[name.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            read[name.strip()] = {"true": True, "false": False, "none": None}.get(value.lower(), value)
    return read


def read_indices(indices: Iterable[str]) -> int | dict[str, int] | None:
    """Return the limit of integer inputs: one for all, or one by name."""
    given = list(indices)
    if not given:
        return None
    if len(given) == 1 and given[0].isdigit():
        return int(given[0])
    return read_pairs(given, "--indices")
