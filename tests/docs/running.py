"""Running the blocks of a page, in order, in one folder and one namespace, and holding them to what they say."""

import ast
import doctest
import glob
import inspect
import io
import re
import shlex
import sys
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from compare import cli, crosscheck
from compare.commands import app
from tests.docs.blocks import ROOT, Block

ALIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
OPTIONAL = re.compile(r"\[[A-Z]+ \.\.\.\]")  # [RECORD ...]: as many more as one likes
NAME = re.compile(r"^# ([\w-]+\.(?:py|toml))\b")  # the first line of a block that is a file


class Page:
    """The folder and the namespace that the blocks of a page share."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self.monkeypatch, self.status = folder, monkeypatch, 0
        self.namespace: dict[str, Any] = {"__name__": "page"}

    def handle(self, block: Block) -> None:
        """Run a block, or parse it where it says why it is not run; AssertionError where it is not as it says."""
        name = NAME.match(block.text)
        if name:
            (self.folder / name[1]).write_text(block.text, encoding="utf-8")
        getattr(self, f"run_{block.kind}")(block)

    def run_python(self, block: Block) -> None:
        """Execute a script, statement by statement; a comment right below a print claims what is printed."""
        tree = ast.parse(block.text, block.place)
        for node in tree.body if not block.reason else []:
            out = io.StringIO()
            with redirect_stdout(out):
                exec(compile(ast.Module([node], []), block.place, "exec"), self.namespace)
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                self.call(self.namespace[node.name])
            if claimed := claims(node, block.text):
                same(claimed, out.getvalue(), block)

    def call(self, test: Any) -> None:
        """Call a test as pytest does, with the fixture that it asks for."""
        fixtures = {"crosscheck": crosscheck}
        test(**{name: fixtures[name] for name in inspect.signature(test).parameters})

    def run_doctest(self, block: Block) -> None:
        """Run a session at the prompt."""
        examples = doctest.DocTestParser().get_doctest(block.text, self.namespace, block.place, None, block.line)
        report: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        runner.run(examples, out=report.append, clear_globs=False)
        self.namespace = examples.globs
        assert runner.summarize(verbose=False).failed == 0, "".join(report)

    def run_toml(self, block: Block) -> None:
        """Read a file as the command line reads it: an experiment is resolved, a sweep's cells are listed."""
        document = tomllib.loads(block.text)
        name = NAME.match(block.text)
        file = self.folder / (name[1] if name else "block.toml")
        file.write_text(block.text, encoding="utf-8")
        words = ["sweep", file.name, "--dry-run"] if "grid" in document else ["run", file.name, "--show-config"]
        assert self.backproof(words)[0] == 0, f"{block.place}: {self.backproof(words)[1]}"

    def run_commands(self, block: Block) -> None:
        """Run every line: it has to succeed, and with a mistake planted to diverge; nothing else is claimed of it."""
        for line in block.text.splitlines():
            if words := shlex.split(OPTIONAL.sub("", line), comments=True):
                self.command(words, block)
                wanted = int("--plant" in words and not block.reason)
                assert self.status == wanted, f"{block.place}: {line!r} left with status {self.status}"

    def run_console(self, block: Block) -> None:
        """Run every line behind a prompt; compare what it prints with the lines below it, where there are any.

        A command fails only where `echo $?` comes next, and says with what status.
        """
        lines = session(block)
        for (line, expected), (following, _) in pairwise([*lines, ("", "")]):
            printed = self.command(shlex.split(line, comments=True), block)
            meant = self.status == 0 or following == "echo $?" or line == "echo $?"
            assert meant, f"{block.place}: {line!r} left with status {self.status}: {printed}"
            if expected and not block.reason:
                same(expected, printed, block)

    def command(self, words: list[str], block: Block) -> str:
        """Run a command, or parse it where the block is not to be run; return what it printed."""
        if words == ["echo", "$?"]:
            return f"{self.status}\n"
        self.status = 0
        if words[0].removeprefix(".venv/bin/") != "backproof":
            assert block.reason, f"{block.place}: {words[0]} cannot be run here: say why above the block."
            known(words, block)
            return ""
        if block.reason:
            app.parse_args(words[1:], exit_on_error=False, print_error=False)
            return ""
        self.status, printed = self.backproof([name for word in words[1:] for name in expanded(word)])
        return printed

    def backproof(self, words: list[str]) -> tuple[int, str]:
        """Return the exit status of a command line of backproof, and what it printed on both outputs."""
        self.monkeypatch.setattr(sys, "argv", ["backproof", *words])
        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(out), pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0), out.getvalue()

    def run_math(self, block: Block) -> None:
        """Convert an equation to what the site shows."""
        from latex2mathml.converter import convert

        assert "<math" in convert(re.sub(r"\\tag\{\w+\}", "", block.text).strip())

    def run_text(self, block: Block) -> None:
        """Nothing: it is text, and says so."""

    def run_directive(self, block: Block) -> None:
        """Nothing: the site's generator runs it, and a warning there is an error."""


def expanded(word: str) -> list[str]:
    """Return the names that a pattern stands for, as a shell does; the word itself if it is none."""
    return sorted(glob.glob(word)) or [word] if "*" in word else [word]  # noqa: PTH207 - relative, as a shell has it


def claims(node: ast.stmt, text: str) -> str:
    """Return what the comment lines right below a print claim that it prints."""
    call = node.value if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    if call is None or not (isinstance(call.func, ast.Name) and call.func.id == "print"):
        return ""
    claimed = []
    for line in text.splitlines()[node.end_lineno or 0 :]:
        if not line.startswith("# "):
            break
        claimed.append(line[2:] + "\n")
    return "".join(claimed)


def same(expected: str, printed: str, block: Block) -> None:
    """Hold what was printed against what is claimed; `...` stands for anything, a last line of it also for nothing."""
    expected = re.sub(r"\n\.\.\.\n\Z", "...\n", expected)
    assert doctest.OutputChecker().check_output(expected, printed, ALIKE), (
        f"{block.place} claims\n{expected}\nand what is printed is\n{printed}"
    )


def session(block: Block) -> list[tuple[str, str]]:
    """Return the commands of a console block, each with the output that stands below it."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not parts[0], f"{block.place}: a console block begins with a prompt."
    return [(line, expected) for line, _, expected in (part.partition("\n") for part in parts[1:])]


def known(words: list[str], block: Block) -> None:
    """Check a command of another program as far as it is ours: that make has the target, the package the extra."""
    program = words[0].removeprefix(".venv/bin/")
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), f"{block.place}: no target {words[1]}"
    elif "install" in words:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
            "optional-dependencies"
        ]
        for group in re.findall(r"\[([\w,]+)\]", words[-1]):
            assert set(group.split(",")) <= extras.keys(), f"{block.place}: no extra {group}"
    else:
        outside = ("python", "python3", "pytest", "your-program", "tensorboard")
        assert program in outside, f"{block.place}: {words[0]} is no command that is known here."
