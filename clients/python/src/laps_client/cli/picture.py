"""``--plot``: the curves of the first files in one picture, a panel each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from laps_client.cli.display import Display
from laps_client.cli.exits import wrong_use
from laps_client.cli.text import printable
from laps_client.many import FilePath, Outcome

if TYPE_CHECKING:
    from laps_client.results import Classification

MOST_PANELS = 12
_WIDTH_INCHES, _PANEL_INCHES = 9.0, 3.0


class Picture:
    """Collects results and draws them at the end.

    Raises:
        Stop: matplotlib is missing, or cannot write such a file; told before the first upload.
    """

    def __init__(self, path: Path) -> None:
        try:
            from matplotlib.backend_bases import FigureCanvasBase  # noqa: PLC0415 - an extra

            from laps_client import plots  # noqa: F401, PLC0415 - says what to install
        except ModuleNotFoundError as exc:
            raise wrong_use("--plot needs matplotlib", "pip install 'laps-client[plot]'") from exc
        kinds = FigureCanvasBase.get_supported_filetypes()
        if path.suffix.removeprefix(".").lower() not in kinds:
            raise wrong_use(f"--plot cannot write {path.name}", f"one of: {' '.join(f'.{kind}' for kind in kinds)}")
        if not path.parent.is_dir():
            raise wrong_use(f"--plot: there is no folder {path.parent}")
        self._path = path
        self._results: list[tuple[str, Classification]] = []
        self._left_out = 0

    def add(self, outcome: Outcome[FilePath]) -> None:
        """Take one result; no more than can be drawn are kept."""
        if outcome.result is None:
            return
        if len(self._results) == MOST_PANELS:
            self._left_out += 1
        else:
            self._results.append((os.fspath(outcome.path), outcome.result))

    def save(self, display: Display) -> None:
        """Draw and write what there is."""
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

        from laps_client.plots import plot  # noqa: PLC0415 - an extra

        drawable = [(path, item) for path, item in self._results if item.frames or item.timeline]
        if not drawable:
            display.say("nothing to draw: no file has scores over time")
            return
        figure = Figure(figsize=(_WIDTH_INCHES, _PANEL_INCHES * len(drawable)), layout="constrained")
        for axes, (path, result) in zip(figure.subplots(len(drawable), squeeze=False)[:, 0], drawable, strict=True):
            plot(result, ax=axes)
            axes.set_title(printable(path).replace("$", r"\$"), fontsize="small")
        figure.savefig(self._path)
        if self._left_out:
            display.say(f"{self._path} shows the first {MOST_PANELS} files, {self._left_out} are left out")
