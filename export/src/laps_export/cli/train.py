"""`laps-export train`: the recipe behind the shipped model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from laps_export.cli.progress import progress_bar
from laps_export.errors import DataError
from laps_export.train.training_settings import EntrySettings, LoopSettings, TrainingRecipe

_SHOWN_TOTAL = 1000

# Who owns the defaults.
_LOOP, _RECIPE, _ENTRY = LoopSettings, TrainingRecipe, EntrySettings


def train(
    *,
    output: Annotated[Path, typer.Option(help="Folder for log, checkpoint and weights.")],
    minutes: Annotated[float | None, typer.Option(help="Length of the training; or give --steps.")] = _LOOP.minutes,
    steps: Annotated[int | None, typer.Option(help="Length of the training, repeatable to the batch.")] = _LOOP.steps,
    variant: Annotated[str, typer.Option(help="Name from `laps-export variants`.")] = _RECIPE.variant,
    name: Annotated[str, typer.Option(help="The model's name in the repository.")] = _ENTRY.name,
    repository: Annotated[Path, typer.Option(help="The model_repository folder.")] = _ENTRY.repository,
    version: Annotated[
        int | None, typer.Option(help="Version to write; the next free one if left out.")
    ] = _ENTRY.version,
    force: Annotated[bool, typer.Option(help="Replace the version if it is there.")] = _ENTRY.force,
    default_views: Annotated[str, typer.Option(help="Temporal x spatial views of a video.")] = _ENTRY.default_views,
    no_export: Annotated[bool, typer.Option("--no-export", help="Stop at the weights.")] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the checkpoint in the output folder; a greater length extends it."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of weights and clips.")] = _RECIPE.seed,
    stride: Annotated[int, typer.Option(help="Frames of the video between two of a clip.")] = _RECIPE.stride,
    batch: Annotated[int, typer.Option(help="Clips in a batch.")] = _RECIPE.batch,
    uses: Annotated[int, typer.Option(help="Batches that each rendered clip stands in.")] = _RECIPE.uses,
    peak_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = _LOOP.peak_rate,
    easy_batches: Annotated[
        int, typer.Option(help="Batches over which the clips grow difficult.")
    ] = _RECIPE.easy_batches,
    coded_share: Annotated[
        float, typer.Option(help="Share of clips that go through a real codec.")
    ] = _RECIPE.coded_share,
    waves: Annotated[
        bool, typer.Option(help="Begin with cosines in the first layers, not with noise.")
    ] = _RECIPE.waves,
    workers: Annotated[int, typer.Option(help="Processes that make clips.")] = _RECIPE.workers,
    threads: Annotated[int | None, typer.Option(help="Threads of the training itself.")] = _RECIPE.threads,
    final_clips: Annotated[int, typer.Option(help="Validation clips at the end.")] = _RECIPE.final_clips,
    cache: Annotated[Path | None, typer.Option(help="Folder for shrunk photographs.")] = Path("build/photographs"),
    debian_root: Annotated[Path, typer.Option(help="Where Debian's packages lie.")] = _RECIPE.debian_root,
) -> None:
    """Train a camera-motion model on clips made from photographs, and export it."""
    try:
        # Codecs and the pictures' library: neither is needed for the other commands.
        from laps_export.train.train_model import export_trained, train_model  # noqa: PLC0415
    except ImportError as exc:
        raise DataError(
            f"training needs {exc.name}", code="missing_package", hint="pip install 'laps-export[train]'"
        ) from exc
    recipe = TrainingRecipe(
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
    entry = EntrySettings(name=name, repository=repository, version=version, force=force, default_views=default_views)
    with progress_bar(everywhere=True) as progress:
        task = progress.add_task("train", total=_SHOWN_TOTAL)

        def report(what: str, share: float) -> None:
            progress.update(task, description=what, completed=int(share * _SHOWN_TOTAL))

        trained = train_model(recipe, output, cache=cache, resume=resume, on_progress=report)
    scores = trained.scores
    typer.echo(
        f"{trained.weights}: {100 * scores.top1:.1f} % of clips and {100 * scores.frame_top1:.1f} % of frames right"
        f" on unseen photographs, temperature {trained.temperature:.2f}"
    )
    if no_export:
        return
    written = export_trained(trained, entry, stride=stride)
    typer.echo(f"{written.path}: ONNX Runtime within {written.parity.max_abs_diff:.2g} of torch")
