"""The benchmark: ``make bench``. Its figures are ratios of one run; docs/performance.md tells how to read them.

python -m bench            everything, for the table
python -m bench --quick    whether everything works
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from bench.figures import Figure, figures
from bench.plan import full_plan, quick_plan
from bench.run import measure
from bench.servers import PEERS
from bench.subjects import SUBJECTS
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import measured, report


class _Bar:
    """The steps of a run as a bar, with the running one's name."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def step(self, what: str) -> None:
        self._bar.advance(self._task)
        self._bar.update(self._task, description=what)
        if not self._bar.console.is_terminal:
            self._bar.console.print(what)

    def say(self, text: str) -> None:
        self._bar.console.print(text, highlight=False)


@contextmanager
def _bar(console: Console, steps: int) -> Iterator[_Bar]:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield _Bar(bar, bar.add_task("", total=steps, completed=-1))


def _table(found: list[Figure]) -> Table:
    """Without how each came about, which is in the documentation's table: terminals are narrow."""
    table = Table("figure", "of", "processor", "wall", "must be", "")
    for figure in found:
        table.add_row(
            figure.title,
            figure.subject,
            report.number(figure.value),
            report.number(figure.wall_value),
            f"{figure.sense} {report.number(figure.limit)}",
            "reached" if figure.reached else "short",
        )
    return table


def main() -> int:
    """Measure, write, print; 1 where a figure is short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of the smallest model; its figures mean little")
    parser.add_argument("--rounds", type=int, help="instead of three")
    parser.add_argument("--models", nargs="*", choices=[subject.name for subject in SUBJECTS], help="these alone")
    parser.add_argument("--peers", nargs="*", choices=PEERS, help="these alone")
    parser.add_argument("--no-memory", action="store_true", help="without the uploads of up to two hours")
    arguments = parser.parse_args()
    plan = quick_plan() if arguments.quick else full_plan()
    if arguments.models is not None:
        plan = replace(plan, subjects=tuple(one for one in SUBJECTS if one.name in arguments.models))
    if arguments.peers is not None:
        plan = replace(plan, peers=tuple(arguments.peers))
    if arguments.no_memory:
        plan = replace(plan, upload_seconds=())
    if arguments.rounds:
        plan = replace(plan, rounds=arguments.rounds)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that its servers end with it
    console = Console()
    with _bar(console, plan.steps) as bar:
        run = measure(plan, bar, quick=arguments.quick)
    measured.write(run, report.RESULTS)
    report.write_plots(run, report.RESULTS.parent)
    found = figures(run)
    console.print(_table(found))
    for figure in found:
        console.print(f"{figure.subject}, {figure.title}: {figure.how}", highlight=False)
    console.print(f"written: {report.RESULTS}; for the documentation: python -m bench.report", highlight=False)
    return 0 if all(figure.reached for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
