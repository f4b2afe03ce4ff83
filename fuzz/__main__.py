"""Damaged videos through the server's decoders: ``make fuzz``; docs/reliability.md tells what was found.

    make fuzz CASES=5000 RUN=1                         draw and decode
    python -m fuzz replay build/fuzz/findings/X.json   one finding again, with its seed beside it

A case is drawn by the numbers of the run and of the case. It is a finding if it crashes or hangs a decoder, if it ends
in an error that nobody told, or if it takes too much. A finding is kept as a seed with the changes made to it, and the
exit status is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.cases import Case, draw_case
from fuzz.decoding import Allowed, Decoders, Outcome, started
from fuzz.seeds import make_seeds
from rich.console import Console
from rich.table import Table

from laps_server.video.sandbox.options import SandboxOptions

FOLDER = Path(__file__).resolve().parents[1] / "build" / "fuzz"
PROGRESS_S = 10.0
_LAST_BYTES = 4000  # of what a decoder wrote


@dataclass
class Tally:
    """What came of the cases so far."""

    began: float = field(default_factory=time.monotonic)
    told: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    decoders_s: float = 0.0
    longest_s: float = 0.0
    peak_mib: int = 0

    @property
    def cases(self) -> int:
        """How many there were."""
        return self.told.total()

    @property
    def rate(self) -> float:
        """Cases a second of the wall clock."""
        return self.cases / (time.monotonic() - self.began)

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        self.told[outcome.told] += 1
        if outcome.finding is not None:
            self.findings[outcome.finding] += 1
        self.decoders_s += outcome.cpu_s
        self.longest_s = max(self.longest_s, outcome.cpu_s)
        self.peak_mib = max(self.peak_mib, outcome.peak_mib)


class WrittenLog:
    """What decoders write to standard error, so that it can be kept beside the case that it is of."""

    def __init__(self, path: Path) -> None:
        """From now on it goes to a file; :attr:`terminal` is where it went."""
        self.terminal = os.fdopen(os.dup(2), "w")
        self._file = path.open("w+b")
        os.dup2(self._file.fileno(), 2)
        self._seen = 0

    def close(self) -> None:
        """From now on it goes where it went."""
        os.dup2(self.terminal.fileno(), 2)
        self._file.close()

    def since_last(self) -> str:
        """What was written since this was last called."""
        size = os.fstat(self._file.fileno()).st_size
        start, self._seen = max(self._seen, size - _LAST_BYTES), size
        return os.pread(self._file.fileno(), size - start, start).decode(errors="replace")


def keep(path: Path, case: Case, seed: bytes, outcome: Outcome, said: str) -> Path:
    """Write a finding, all that is needed to see it again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case.as_json())
    path.with_suffix(".seed").write_bytes(seed)
    path.with_suffix(".txt").write_text(f"{outcome}\n{case.seed}: {case.kinds}\n{case.options}\n\n{said}")
    return path


async def fuzz(options: argparse.Namespace, log: WrittenLog, console: Console) -> Tally:
    """Draw and decode."""
    seeds = make_seeds(FOLDER / "seeds", options.seeds)
    console.print(f"{len(seeds)} seeds, {sum(map(len, seeds.values())) // len(seeds) // 1024} KiB each on average")
    tally, told_at = Tally(), time.monotonic()
    async with started(allowed(options), options.extract) as decoders:
        for number in range(options.first, options.first + options.cases):
            case = draw_case(options.run, number, seeds)
            outcome = await decoders.run(case, seeds[case.seed])
            tally.add(outcome)
            said = log.since_last()
            if outcome.finding is not None:
                path = options.findings / f"{outcome.finding.replace(' ', '-')}-{options.run}-{number}.json"
                keep(path, case, seeds[case.seed], outcome, said)
                console.print(f"{outcome.finding}: {case.seed}, {case.kinds}: {outcome.detail}; {path}")
            if time.monotonic() - told_at > PROGRESS_S:
                told_at = time.monotonic()
                console.print(
                    f"{tally.cases} cases, {tally.rate:.0f} a second, {tally.told['parts']} with parts, "
                    f"{tally.findings.total()} findings"
                )
    return tally


async def replay(options: argparse.Namespace, log: WrittenLog, console: Console) -> Tally:
    """Findings once more."""
    tally = Tally()
    async with started(allowed(options), options.extract) as decoders:
        for path in options.files:
            outcome = await _replayed(path, decoders)
            tally.add(outcome)
            console.print(f"{path.name}: {outcome}\n{log.since_last()}", highlight=False)
    return tally


async def _replayed(path: Path, decoders: Decoders) -> Outcome:
    return await decoders.run(Case.read(path), path.with_suffix(".seed").read_bytes())


def allowed(options: argparse.Namespace) -> Allowed:
    """As the command line says."""
    return Allowed(
        cpu_s=options.cpu_s,
        resident_mib=options.resident_mib,
        address_mib=options.address_mib,
        stall_s=options.stall_s,
    )


def table(tally: Tally, run: int) -> Table:
    """The figures of a run."""
    rows = Table("outcome", "cases", title=f"run {run}: {tally.cases} cases, {tally.rate:.0f} a second")
    for told, count in tally.told.most_common():
        rows.add_row(told, str(count))
    rows.add_section()
    for finding, count in tally.findings.most_common():
        rows.add_row(f"finding: {finding}", str(count))
    rows.add_row("findings", str(tally.findings.total()))
    rows.add_row("cases a processor second", f"{tally.cases / (tally.decoders_s + time.process_time()):.0f}")
    rows.add_row("longest case, processor s", f"{tally.longest_s:.2f}")
    rows.add_row("most memory of a decoder, MiB", str(tally.peak_mib))
    return rows


def main() -> None:
    """Parse, run, tell; the exit status is 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    limits, usual = argparse.ArgumentParser(add_help=False), Allowed()
    limits.add_argument("--cpu-s", type=float, default=usual.cpu_s, help="processor seconds that a case may take")
    limits.add_argument("--resident-mib", type=int, default=usual.resident_mib, help="memory that it may take")
    limits.add_argument("--address-mib", type=int, default=usual.address_mib, help="address space that there is")
    limits.add_argument("--stall-s", type=float, default=usual.stall_s, help="seconds without a step forward")
    limits.add_argument(
        "--extract",
        default=SandboxOptions().extract,
        help="module:function that decodes instead, to try the fuzzer itself",
    )
    commands = parser.add_subparsers(required=True)
    drawing = commands.add_parser("run", parents=[limits])
    drawing.add_argument("--cases", type=int, default=5000)
    drawing.add_argument("--run", type=int, default=1, help="another number draws other cases")
    drawing.add_argument("--first", type=int, default=0, help="number of the first case")
    drawing.add_argument("--seeds", type=Path, help="a folder of further files to begin with")
    drawing.add_argument("--findings", type=Path, default=FOLDER / "findings")
    drawing.set_defaults(act=fuzz)
    again = commands.add_parser("replay", parents=[limits])
    again.add_argument("files", type=Path, nargs="+", help="JSON of findings")
    again.set_defaults(act=replay, run=0)
    options = parser.parse_args()

    FOLDER.mkdir(parents=True, exist_ok=True)
    log = WrittenLog(FOLDER / "decoders.log")
    console = Console(file=log.terminal)
    try:
        tally = asyncio.run(options.act(options, log, console))
    finally:
        log.close()
    console.print(table(tally, options.run))
    sys.exit(1 if tally.findings else 0)


if __name__ == "__main__":
    main()
