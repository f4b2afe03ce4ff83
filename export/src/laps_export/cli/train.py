"""`laps-export train` and `photographs`: the recipe behind the shipped model, and what it may look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from laps_export.errors import DataError

_SHOWN_TOTAL = 1000


def train(  # noqa: PLR0917 - typer turns every option into an argument
    output: Annotated[Path, typer.Option(help="Folder for log, checkpoint and weights.")],
    minutes: Annotated[float | None, typer.Option(help="Length of the training; or give --steps.")] = None,
    steps: Annotated[int | None, typer.Option(help="Length of the training, repeatable to the batch.")] = None,
    variant: Annotated[str, typer.Option(help="Name from `laps-export variants`.")] = "laps_nano",
    name: Annotated[str, typer.Option(help="The model's name in the repository.")] = "camera-motion",
    repository: Annotated[Path, typer.Option(help="The model_repository folder.")] = Path("model_repository"),
    version: Annotated[int | None, typer.Option(help="Version to write; the next free one if left out.")] = None,
    force: Annotated[bool, typer.Option(help="Replace the version if it is there.")] = False,
    default_views: Annotated[str, typer.Option(help="Temporal x spatial views of a video.")] = "5x1",
    no_export: Annotated[bool, typer.Option("--no-export", help="Stop at the weights.")] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the checkpoint in the output folder; a greater length extends it."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of weights and clips.")] = 0,
    stride: Annotated[int, typer.Option(help="Frames of the video between two of a clip.")] = 4,
    batch: Annotated[int, typer.Option(help="Clips in a batch.")] = 24,
    uses: Annotated[int, typer.Option(help="Batches that each rendered clip stands in.")] = 2,
    peak_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 6e-4,
    easy_batches: Annotated[int, typer.Option(help="Batches over which the clips grow difficult.")] = 1200,
    coded_share: Annotated[float, typer.Option(help="Share of clips that go through a real codec.")] = 0.1,
    waves: Annotated[bool, typer.Option(help="Begin with cosines in the first layers, not with noise.")] = True,
    workers: Annotated[int, typer.Option(help="Processes that make clips.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Threads of the training itself.")] = None,
    final_clips: Annotated[int, typer.Option(help="Validation clips at the end.")] = 2000,
    cache: Annotated[Path | None, typer.Option(help="Folder for shrunk photographs.")] = Path("build/photographs"),
    debian_root: Annotated[Path, typer.Option(help="Where Debian's packages lie.")] = Path("/usr/share"),
) -> None:
    """Train a camera-motion model on clips made from photographs, and export it."""
    try:
        # Torch, codecs and the pictures' library: none of it is needed for the other commands.
        from laps_export.train import run_recipe as recipes  # noqa: PLC0415
        from laps_export.train.loop import LoopSettings  # noqa: PLC0415
    except ImportError as exc:
        raise DataError(
            f"training needs {exc.name}", code="missing_package", hint="pip install 'laps-export[train]'"
        ) from exc
    recipe = recipes.Recipe(
        loop=LoopSettings(steps=steps, minutes=minutes, peak_rate=peak_rate),
        variant=variant,
        seed=seed,
        stride=stride,
        batch=batch,
        uses=uses,
        easy_batches=easy_batches,
        coded_share=coded_share,
        final_clips=final_clips,
        waves=waves,
        workers=workers,
        threads=threads,
        debian_root=debian_root,
    )
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=Console(stderr=True), transient=True
    ) as progress:
        task = progress.add_task("train", total=_SHOWN_TOTAL)

        def report(what: str, share: float) -> None:
            progress.update(task, description=what, completed=int(share * _SHOWN_TOTAL))

        trained = recipes.train(recipe, output, cache=cache, resume=resume, on_progress=report)
    scores = trained.scores
    typer.echo(
        f"{trained.weights}: {100 * scores.top1:.1f} % of clips and {100 * scores.frame_top1:.1f} % of frames right"
        f" on unseen photographs, temperature {trained.temperature:.2f}"
    )
    if no_export:
        return
    written = recipes.export(
        trained,
        name=name,
        stride=stride,
        default_views=default_views,
        repository=repository,
        version=version,
        force=force,
    )
    typer.echo(f"{written.path}: ONNX Runtime within {written.parity.max_abs_diff:.2g} of torch")


def photographs(
    split: Annotated[str, typer.Option(help="train, val or test.")],
    debian_root: Annotated[Path, typer.Option(help="Where Debian's packages lie.")] = Path("/usr/share"),
) -> None:
    """Print the paths of one split's photographs, one a line: what an evaluation may use is `test`."""
    from laps_export.data.photographs import Split, find_photographs  # noqa: PLC0415

    if split not in list(Split):
        raise DataError(f"no split {split!r}", code="unknown_split", hint=f"one of {', '.join(Split)}")
    for photo in find_photographs(debian_root=debian_root).of(Split(split)):
        typer.echo(photo.path)
