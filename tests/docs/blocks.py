"""The fenced blocks of a page of Markdown: where they stand, what they are, and why one is not run."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^( *)(`{3,}|~{3,})(.*)$")
NOT_RUN = re.compile(r"^<!-- parsed, not run: (\S.{9,}) -->$")


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands behind its opening fence, its text, and the reason why it is not run, or ""."""

    page: Path
    line: int
    language: str
    text: str
    reason: str = ""

    @property
    def place(self) -> str:
        """Where the block stands, for a message."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def kind(self) -> str:
        """What is to be done with it: doctest, python, toml, commands, console, or nothing: math, text, directive."""
        if self.language.startswith("{"):
            return "directive"  # of the site's generator, which runs it
        if self.language == "python":
            return "doctest" if self.text.startswith(">>> ") else "python"
        return {"": "commands", "console": "console", "toml": "toml", "math": "math", "text": "text"}[self.language]


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, in order. Raises AssertionError for a fence that does not close."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    opened: tuple[int, str, str] | None = None
    for number, line in enumerate(lines, 1):
        fence = FENCE.match(line)
        if opened is None and fence:
            opened = number, fence[2], fence[3].strip()
        elif opened is not None and fence and fence[2].startswith(opened[1]) and not fence[3].strip():
            start, _, language = opened
            text = "\n".join(lines[start : number - 1]) + "\n"
            found.append(Block(page, start, language, text, reason_before(lines[: start - 1])))
            opened = None
    assert opened is None, f"{page}:{opened}: the fence does not close"
    return found


def reason_before(lines: list[str]) -> str:
    """Return the reason that the last line before a block gives why it is not run."""
    last = next((line for line in reversed(lines) if line.strip()), "")
    marker = NOT_RUN.match(last)
    return marker[1] if marker else ""


def pages() -> list[Path]:
    """Return every page of Markdown that a reader is sent to, in English.

    The blocks of a translation are those of its page, byte for byte: test_translations holds them to it.
    """
    found = [ROOT / "README.md", ROOT / "results" / "README.md"]
    found += [page for folder in ("docs", "manual") for page in (ROOT / folder).rglob("*.md")]
    return sorted(page for page in found if "_build" not in page.parts and not page.name.endswith(".zh.md"))
