"""Records of schema version 1 made into version 2, so that what reads version 2 can be tried on what is written."""

import hashlib
import json
from pathlib import Path
from typing import Any

ORDER = "0" * 64


def upgraded(folder: Path) -> Path:
    """Make a record of version 1 one of version 2, in place; leave one of version 2 as it is. Returns the folder."""
    manifest = read(folder / "manifest.json")
    if manifest["schema_version"] == 2:
        return folder
    environment = read(folder / "environment.json")
    threads = environment.pop("torch_threads", 1)
    environment.pop("torch_deterministic", None)
    environment |= {
        "torch_blas": {}, "threads": {"torch": threads, "torch_interop": 1}, "determinism": {}, "device": None,
    }  # fmt: skip
    write(folder / "environment.json", environment)
    write(folder / "data.json", read(folder / "data.json") | {"order_digest": ORDER})
    manifest |= {
        "schema_version": 2, "config_id": folder.name[-8:], "plant": None, "replaced": [], "sources": {}, "resumed": [],
    }  # fmt: skip
    write(folder / "manifest.json", manifest)
    return sealed(folder)


def sealed(folder: Path) -> Path:
    """Write the digests of a record's files, as they are now, into its manifest. Returns the folder."""
    manifest = read(folder / "manifest.json")
    manifest["files"] = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("manifest.json", "report.html")
    }
    write(folder / "manifest.json", manifest)
    return folder


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
