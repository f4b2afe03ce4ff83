"""``--plot``: the curves of the first files in one figure, a panel each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from laps_client._outcome import FilePath, Outcome
from laps_client._parsing import Mismatch, from_json
from laps_client._results import Classification
from laps_client.cli.display import Display
from laps_client.cli.exit_status import not_written, wrong_use
from laps_client.cli.output_files import check_output_file
from laps_client.cli.results_file import PATH
from laps_client.cli.terminal_text import printable

MOST_PANELS = 12
_WIDTH_INCHES, _PANEL_INCHES = 9.0, 3.0


class CurvesFigure:
    """Collects results and draws them at the end.

    Raises:
        CommandFailed: matplotlib is missing, or cannot write such a file; raised before the first upload.
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
        check_output_file("--plot", path)
        self._path = path
        self._results: list[tuple[str, Classification]] = []
        self._left_out = 0
        self._without = 0

    def add(self, outcome: Outcome[FilePath]) -> None:
        """Take one result. Only as many are kept as can be drawn."""
        if outcome.result is not None:
            self._take(os.fspath(outcome.path), outcome.result)

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Take one result from a line of a results file."""
        try:
            self._take(row[PATH], from_json(Classification, row))
        except Mismatch:  # written by another version, with other fields
            self._without += 1

    def save(self, display: Display) -> None:
        """Draw and write what there is.

        Raises:
            CommandFailed: it cannot be written.
        """
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

        from laps_client.plots import plot  # noqa: PLC0415 - an extra

        panels = self._results
        if not panels:
            display.say(f"nothing to draw{self._why_not}")
            return
        figure = Figure(figsize=(_WIDTH_INCHES, _PANEL_INCHES * len(panels)), layout="constrained")
        for axes, (path, result) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
            plot(result, ax=axes)
            axes.set_title(printable(path).replace("$", r"\$"), fontsize="small")
        try:
            figure.savefig(self._path)
        except OSError as exc:
            raise not_written(str(self._path), exc) from exc
        left_out = f": the first {MOST_PANELS} files, {self._left_out} are left out" if self._left_out else ""
        display.say(f"wrote {self._path}{left_out}{self._why_not}")

    @property
    def _why_not(self) -> str:
        return f"; {self._without} files have no scores over time" if self._without else ""

    def _take(self, path: str, result: Classification) -> None:
        if not (result.frames or result.timeline):
            self._without += 1
        elif len(self._results) == MOST_PANELS:
            self._left_out += 1
        else:
            self._results.append((path, result))
