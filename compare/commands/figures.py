"""The figures of manual/DERIVATION.md."""

from pathlib import Path

from compare.commands.app import Json, app, dump


@app.command
def figures(folder: Path = Path("manual/figures"), *, json: Json = False) -> int:
    """Draw the figures of manual/DERIVATION.md from the real data: the zero, the outputs, the target, the difference.

    Exit status: 0 drawn, 2 usage, 3 a library is missing, or a file cannot be written.

    Parameters
    ----------
    folder
        Where the SVG files are written.
    """
    from compare.views.figures import write_figures

    written = [str(file) for file in write_figures(folder)]
    print(dump({"figures": written}) if json else "\n".join(written))
    return 0
