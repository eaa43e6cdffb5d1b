"""Nothing in a file can make the check pass without a right derivation. Each road is tried.

Most are refused before anything runs. What the rules would let through is tried with the rules taken away as well: the
process that runs an answer can only give arrays back, and no array is right but the right one.
"""

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare.exercise.answer import RefusedError, parse, read_answer
from compare.exercise.check import check_exercise, check_exercises
from compare.exercise.entries import find_entry
from compare.exercise.judging import facts_of
from compare.exercise.paper import sheet_of, text_of
from compare.exercise.process import AnswerError, Process
from compare.exercise.sheet import EMPTY
from compare.exercise.wire import WireError, decode, encode
from tests.exercise.conftest import answered

SOLUTION = "return grad_output * (1 - self.a * self.a)"

FORBIDDEN = {
    "importing": "import manual\nreturn manual.Tanh().backward(grad_output)",
    "importing torch": "from torch import tanh\nreturn tanh(grad_output)",
    "__import__": '__import__("os")._exit(0)',
    "sys.exit": "import sys\nsys.exit(0)",
    "raising SystemExit": "raise SystemExit(0)",
    "exit": "exit(0)",
    "printing a verdict": 'print("RIGHT")\nreturn grad_output',
    "opening a file": 'open("marks.json", "w")',
    "eval": 'return eval("1")',
    "exec": 'exec("x = 1")\nreturn grad_output',
    "getattr": 'return getattr(self, "forward")(grad_output)',
    "globals": "globals()\nreturn grad_output",
    "vars": "vars(self)\nreturn grad_output",
    "type": "type(self).forward = 0\nreturn grad_output",
    "dunders": "return grad_output.__class__(0)",
    "subclasses": "return ().__class__.__bases__[0].__subclasses__()",
    "globals of a function": "return self.forward.__globals__",
    "format": 'return "{0.__class__}".format(self)',
    "an f-string's attributes": 'return f"{self.__class__}"',
    "an array subclass": "class A(np.ndarray):\n    __eq__ = lambda a, b: True\nreturn grad_output.view(A)",
    "a view as complex": "return grad_output.view(complex)",
    "a lambda": "f = lambda z: np.tanh(z)\nreturn f(grad_output)",
    "a nested function": "def f(z):\n    return z\nreturn f(grad_output)",
    "the forward pass": "return self.forward(grad_output)",
    "the forward pass by another name": "f = self.forward\nreturn f(grad_output)",
    "the object itself": "me = self\nreturn me.forward(grad_output)",
    "the object in a list": "return [self][0].forward(grad_output)",
    "a complex number": "h = 1e-30j\nreturn np.tanh(self.a + h).imag / 1e-30",
    "complex": "return np.tanh(complex(0, 1e-30))",
    "a complex dtype": "return self.a.astype(np.complex128)",
    "a complex dtype as text": 'return self.a.astype("c16")',
    "a complex dtype as a key": 'for kind in {"c16": 1}:\n    x = self.a.astype(kind)\nreturn x',
    "a dtype from a list": "return np.zeros(3, dtype=[float][0])",
    "emath": "return np.emath.sqrt(-self.a)",
    "roots": "return np.roots(self.a)",
    "loading": 'return np.load("right.npy")',
    "saving": 'np.save("right.npy", grad_output)',
    "memory": "return np.memmap(self.a)",
    "ctypeslib": "return np.ctypeslib.as_array(self.a)",
    "an address": "return self.a.ctypes.data",
    "a buffer": "return self.a.data",
    "monkeypatching numpy": "np.tanh = np.exp\nreturn grad_output",
    "monkeypatching numpy's testing": "np.testing.assert_allclose = 0\nreturn grad_output",
    "numpy by another name": "n = np\nreturn n.load(0)",
    "a function of functions": "return np.vectorize(self.a)",
    "apply": "return np.apply_along_axis(self.a, 0, self.a)",
    "frompyfunc": "return np.frompyfunc(self.a, 1, 1)",
    "globals of the module": "global cache\ncache = grad_output\nreturn cache",
    "monkeypatching math": "math.pi = 3\nreturn grad_output",
    "trying": "try:\n    x = 1 / 0\nexcept Exception as e:\n    x = e\nreturn x",
    "asserting": "assert False",
    "deleting": "del self.a\nreturn grad_output",
    "yielding": "yield grad_output",
    "awaiting a walrus": "return (x := grad_output)",
    "replacing what forward keeps by name": "self.forward = grad_output\nreturn grad_output",
    "replacing parameters": "self.parameters = {}\nreturn grad_output",
    "what is not kept": "return grad_output * self.answer",
    "a complex dtype in an f-string": 'return np.zeros(1, f"D")',
    "a long double in an f-string": 'return np.array(self.a, f"g")',
    "a formatted character": 'return np.sum(self.a, 0, f"{68:c}")',
    "a text of a place alone": 'for kind in self.parameters:\n    x = np.sum(self.a, 0, f"{kind}")\nreturn x',
    "a dtype that is not named": "return np.zeros(1, self.a)",
    "a dtype by position": "return np.full(1, 0, self.a)",
    "a method by another name": "make = self.a.astype\nreturn make(float)",
    "a shift": "return grad_output * (1 << 60)",
    "a shift to the right": "return grad_output * (9 >> 1)",
    "a whole number of 64 bits": "return grad_output * 18446744073709551615",
    "string arithmetic": 'return np.einsum("a" + "b", self.a)',
}  # fmt: skip


def with_answer(body: str) -> Any:
    return read_answer(parse(answered("tanh", body)))


@pytest.mark.parametrize("road", FORBIDDEN)
def test_a_road_is_refused_before_anything_runs(road: str) -> None:
    with pytest.raises(RefusedError):
        with_answer(FORBIDDEN[road])


def test_the_rules_let_a_derivation_pass() -> None:
    assert not with_answer(SOLUTION).unfinished


def refused(text: str) -> str:
    with pytest.raises(RefusedError) as said:
        read_answer(parse(text))
    return str(said.value)


def test_a_default_or_a_decorator_is_refused() -> None:
    text = answered("tanh", SOLUTION)
    assert "plain arguments" in refused(
        text.replace("backward(self, grad_output)", "backward(self, grad_output, c=[])")
    )
    assert "plain arguments" in refused(text.replace("    def backward", "    @property\n    def backward"))


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("self.a = np.tanh(z)", "self.a = np.tanh(z) * 1"),
        ("return self.a\n", "return 0 * self.a\n"),
        ("import numpy as np", "import numpy as np\nimport os"),
        ("import numpy as np", "import numpy as np\nnp.tanh = np.exp"),
        ("import numpy as np", "import torch as np"),
        ("class Tanh(Elementwise)", "class Tanh(Elementwise, metaclass=type)"),
        ("class Tanh(Elementwise)", "@print\nclass Tanh(Elementwise)"),
        ("    def forward(self, z):", "    __slots__ = ()\n\n    def forward(self, z):"),
    ],
)
def test_what_the_exercise_gave_is_not_to_be_changed(was: str, now: str) -> None:
    text = answered("tanh", SOLUTION)
    assert was in text
    assert "was changed" in refused(text.replace(was, now))


def test_a_line_is_one_of_the_files() -> None:
    assert refused('"""Exercise: tanh"""\n\nimport numpy as np\n').startswith("line 3:")
    assert refused('"""Exercise: tanh"""').startswith("line 1:")
    assert "None" not in refused('"""Exercise: tanh"""\n\ud800')


def test_code_below_the_class_is_refused() -> None:
    assert "was changed" in refused(answered("tanh", SOLUTION) + "\nraise SystemExit(0)\n")
    assert "was changed" in refused(answered("tanh", SOLUTION) + "\nTanh.forward = Tanh.backward\n")


def test_functions_of_the_exercise_are_not_replaced() -> None:
    more = "\n\ndef len(x):\n    return 1\n"
    assert "rebinds" in refused(answered("tanh", SOLUTION) + more)
    changed = answered("linear", "return grad_output", "\n\ndef rows(x):\n    return x\n")
    assert "was changed" in refused(changed)


def test_two_backward_passes_are_refused() -> None:
    text = answered("tanh", SOLUTION) + "\n    def backward(self, grad_output):\n        return grad_output\n"
    assert "wanted one backward" in refused(text)


def test_own_functions_are_welcome_and_under_the_same_rules() -> None:
    body = "return grad_output * slope(self.a)"
    assert not read_answer(parse(answered("tanh", body, "\n\ndef slope(a):\n    return 1 - a * a\n"))).unfinished
    assert "open" in refused(answered("tanh", body, '\n\ndef slope(a):\n    return open("x")\n'))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no exercise"),
        ("x = (", "no Python"),
        ("x\0", "no Python"),
        ('"""Exercise: tanh"""', "was changed"),
        ('"""Exercise: nothing-of-that-name"""', "no exercise"),
        ("(" * 5000 + ")" * 5000, "no Python"),
        ('"""Exercise: tanh"""\nx = ' + "+".join(["1"] * 300), "nested deeper"),
        ('"""Exercise: tanh"""\nx = y' + ".T" * 300, "nested deeper"),
        ("x = 0x" + "f" * 5000, "no exercise"),
    ],
)
def test_what_is_no_exercise_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "odd.py"
    file.write_text(text)
    checked = check_exercise(file)
    assert checked.verdict == "REFUSED"
    assert reason in checked.reason


def test_keys_may_be_made_of_names() -> None:
    body = 'self.state[f"{name}.mine"] = gradient\nparameter -= self.lr * self.state.get(f"{name}.mine")'
    assert not read_answer(parse(answered("sgd", body))).unfinished


WIDE = {
    "a long double, by a letter of a name": ('x = np.sum(self.x, 0, "weight"[3])', str(np.dtype("g"))),
    "the same, in a tuple": ('x, _ = np.linspace(*[0, 1, 5, True, True, "weight"[3]])', str(np.dtype("g"))),
    "whole numbers of any length": ("n = 3\nfor i in range(9):\n    n = n * n", "int"),
    "the same, in place": ("n = [3]\nfor i in range(99):\n    n[0] += n[0]", "int"),
    "the same, as a power": ("n = 10\nn **= 10**9", "int"),
    "the same, of a float": ("n = int(1e30)", "int"),
    "a root of -1": ("n = (-1.0) ** 0.5", "complex"),
}


@pytest.mark.parametrize("road", WIDE)
def test_what_is_more_than_numbers_of_eight_bytes_is_refused_where_it_is_made(check: Any, road: str) -> None:
    body, kind = WIDE[road]
    checked = check("linear", f"{body}\nreturn grad_output")
    assert checked.verdict == "REFUSED"
    assert f"it computes with {kind};" in checked.reason


def test_what_can_be_read_without_an_end_does_not_stop_a_folder(tmp_path: Path) -> None:
    (tmp_path / "endless.py").symlink_to("/dev/zero")
    (tmp_path / "nowhere.py").symlink_to(tmp_path / "nothing")
    (tmp_path / "large.py").write_bytes(b"#" * ((1 << 20) + 1))
    (tmp_path / "other.py").write_text(answered("tanh", f"x = 0x{'f' * 5000}\n{SOLUTION}"))
    (tmp_path / "right.py").write_bytes(b"\xef\xbb\xbf" + answered("tanh", SOLUTION).encode())  # as Windows saves it
    os.mkfifo(tmp_path / "pipe.py")
    found = {Path(c.file).stem: c for c in check_exercises([tmp_path]).exercises}
    assert found.pop("right").verdict == "RIGHT"
    assert {c.verdict for c in found.values()} == {"REFUSED"}
    assert [found[name].reason for name in ("endless", "pipe")] == ["it is no plain file"] * 2
    assert "longer" in found["large"].reason


@pytest.mark.parametrize("count", [50, 60])
def test_a_long_sum_is_an_answer(check: Any, count: int) -> None:
    terms = " + ".join([f"(1 - self.a * self.a) / {count}"] * count)
    assert check("tanh", f"return grad_output * ({terms})").reason == ""


def test_an_answers_message_does_not_steer_the_terminal(check: Any) -> None:
    hints = check("tanh", r'raise ValueError("\x1b]0;owned\x07 \ud800")', hint=1).hints
    assert "owned" in hints[0]
    assert hints[0].isprintable()


def test_one_file_that_cannot_be_judged_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RecursionError("too deep")

    (tmp_path / "tanh.py").write_text(answered("tanh", SOLUTION))
    monkeypatch.setattr("compare.exercise.check.judge", broken)
    assert "RecursionError: too deep" in check_exercise(tmp_path / "tanh.py").reason


# ------------------------------------------------------------------------------- with the rules taken away: the process

TANH = find_entry("tanh")
REQUEST = {"0/inputs/000": np.array([[0.5, -1.0]]), "0/above/000": np.array([[1.0, 2.0]])}


def process_of(body: str, top: str = "", seconds: float = 10.0) -> Process:
    """Return a process that runs an answer that no rule was asked about."""
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    code = top + sheet_of(TANH).empty.replace(f"        {EMPTY}", lines)
    return Process(code, facts_of(TANH), seconds)


def told_by(body: str, top: str = "") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with process_of(body, top) as process:
        return process.ask({"passes": 1}, REQUEST)


def test_the_process_gives_the_answers_arrays() -> None:
    told, arrays = told_by(SOLUTION)
    assert told["kinds"] == {"0": "ndarray"}
    assert np.allclose(arrays["0"], REQUEST["0/above/000"] * (1 - np.tanh(REQUEST["0/inputs/000"]) ** 2))


DOORS = [
    "import manual", "import torch", "import compare", "import reference", "import socket",
    'open("/etc/hostname").read()', 'open("/dev/null", "w")', "import subprocess", '__import__("os").system("true")',
    '__import__("os").fork()', '__import__("os").listdir(".")', "import sys\nsys._getframe(3)",
]  # fmt: skip


def test_the_doors_are_shut() -> None:
    tries = "\n".join(
        "try:\n" + "\n".join(f"    {line}" for line in door.splitlines()) + f"\n    found.append({number})"
        "\nexcept (ImportError, PermissionError, AttributeError):\n    pass"
        for number, door in enumerate(DOORS)
    )
    told, arrays = told_by(f"found = []\n{tries}\nreturn np.array(found, float)")
    assert "raised" not in told
    assert [DOORS[int(number)] for number in arrays["0"]] == []


@pytest.mark.parametrize("body", ["import os\nos._exit(0)", "import os\nos.abort()"])
def test_a_process_that_ends_says_nothing(body: str) -> None:
    with process_of(body) as process, pytest.raises(AnswerError, match="ended"):
        process.ask({"passes": 1}, REQUEST)


def test_an_exit_is_an_error_of_the_answer() -> None:
    told, arrays = told_by("raise SystemExit(0)")
    assert (told["raised"], arrays) == ("SystemExit", {})


def test_a_loop_is_ended() -> None:
    with process_of("while True:\n    pass", seconds=1.0) as process, pytest.raises(AnswerError, match="did not end"):
        process.ask({"passes": 1}, REQUEST)
    assert process.process.poll() is not None


def test_a_forged_message_is_no_verdict() -> None:
    written = 'try:\n        os.write(fd, b"RIGHT" * 9)\n    except OSError:\n        pass'
    body = f"import os\nfor fd in range(3, 20):\n    {written}"
    with process_of(body) as process, pytest.raises(AnswerError):
        process.ask({"passes": 1}, REQUEST)


def test_an_array_with_an_equality_of_its_own_does_not_come_back() -> None:
    top = "import numpy as np\n\n\nclass Same(np.ndarray):\n    __eq__ = lambda a, b: True\n\n\n"
    told, arrays = told_by("return grad_output.view(Same)", top)
    assert told["kinds"] == {"0": "Same"}
    assert "0" not in arrays


@pytest.mark.parametrize("kind", ["D", "g"])
def test_complex_numbers_and_long_doubles_do_not_travel(kind: str) -> None:
    assert "0" not in told_by(f'return grad_output.astype("{kind}")')[1]


def test_objects_do_not_travel() -> None:
    told, arrays = told_by("return np.array([self], dtype=object)")
    assert "0" not in arrays
    assert told["kinds"] == {"0": "ndarray"}


def test_a_patched_numpy_changes_nothing_here(tmp_path: Path) -> None:
    before = np.tanh
    told_by("np.tanh = np.allclose = np.array_equal = lambda *_: True\nreturn grad_output")
    assert np.tanh is before


# ------------------------------------------------------------------------------------------------------ what arrives


@pytest.mark.parametrize(
    "message",
    [
        struct.pack("<QQ", 1 << 40, 0),
        struct.pack("<QQ", 2, 0) + b"[]",
        struct.pack("<QQ", 9, 0) + b"not json!",
        struct.pack("<QQ", 46, 0) + b'{"facts": {}, "arrays": [["a", "|O", [1]]]}   ',
        struct.pack("<QQ", 48, 0) + b'{"facts": {}, "arrays": [["a", "<f8", [9999]]]} ',
        struct.pack("<QQ", 48, 8) + b'{"facts": {}, "arrays": [["a", "<f8", [-1]]]}   ' + b"\0" * 8,
        struct.pack("<QQ", 48, 16) + b'{"facts": {}, "arrays": [["a", "<c16", [1]]]}   ' + b"\0" * 16,
    ],
)
def test_what_is_no_message_is_a_wire_error(message: bytes) -> None:
    left = bytearray(message)

    def read(count: int) -> bytes:
        found = bytes(left[:count])
        del left[:count]
        return found

    with pytest.raises(WireError):
        decode(read)


def test_arrays_travel_to_the_bit() -> None:
    sent = {
        "a": np.array([[0.1, -0.0], [np.nan, np.inf]]),
        "b": np.array(3, np.int64),
        "c": np.zeros((0, 2), np.float32),
    }
    left = bytearray(encode({"n": 1}, sent))

    def read(count: int) -> bytes:
        found = bytes(left[:count])
        del left[:count]
        return found

    facts, arrays = decode(read)
    assert facts == {"n": 1}
    for name, array in sent.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].tobytes() == array.tobytes()


def test_the_seed_is_another_every_time(tmp_path: Path) -> None:
    file = tmp_path / "tanh.py"
    file.write_text(answered("tanh", SOLUTION))
    assert check_exercise(file).seed != check_exercise(file).seed


def test_texts_of_the_empty_file_are_what_is_compared() -> None:
    assert EMPTY in text_of(TANH)
