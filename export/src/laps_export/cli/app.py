"""`laps-export`: variants, convert, onnx, tensorrt, verify, train, photographs.

Answers go to stdout, progress and errors to stderr. Errors of the tree become a message, a hint and an exit
code; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from laps_export.checkpoint.reading import Checkpoint, Source, load_weights, read_checkpoint, save_checkpoint
from laps_export.cli.train import photographs, train
from laps_export.errors import (
    BuilderError,
    CheckpointError,
    ConfigError,
    DataError,
    GraphError,
    LabelsError,
    LapsExportError,
    ParityError,
    RepositoryError,
    TrainingError,
)
from laps_export.families.laps import variants as registry
from laps_export.families.laps.config import LapsConfig
from laps_export.families.laps.visformer import Laps
from laps_export.families.random_weights import randomise
from laps_export.graph.complexity import measure
from laps_export.graph.parity import OnProgress
from laps_export.repository.check_entry import check_entry
from laps_export.repository.label_set import load_labels, shipped_label_sets
from laps_export.repository.manifest import Origin, SamplingRule, Serving
from laps_export.repository.triton_config import TensorRtPrecision
from laps_export.repository.write_version import Bundle, write_bundle
from laps_export.tensorrt.builders import DEFAULT_BATCH_SIZES, check_batch_sizes, find_builder
from laps_export.tensorrt.plan import PlanOptions, Precision, write_plan

EXIT_CODES: dict[type[LapsExportError], int] = {
    ConfigError: 3,
    CheckpointError: 4,
    LabelsError: 5,
    RepositoryError: 6,
    GraphError: 7,
    ParityError: 8,
    DataError: 9,
    TrainingError: 10,
    BuilderError: 11,
}
"""0 is success, 1 a bug, 2 a wrong command line, 130 and 143 an interrupt."""

app = typer.Typer(
    help="From a LAPS checkpoint to a model that a server can load.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(train)
app.command()(photographs)

Variant = Annotated[str | None, typer.Option(help="Name from `laps-export variants`; our own files know theirs.")]


def main() -> NoReturn:
    """Entry point of the console script."""
    # A terminated export cleans up as an interrupted one does.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except LapsExportError as exc:
        err = Console(stderr=True, highlight=False, soft_wrap=True)
        err.print(Text.assemble(("error", "bold red"), f" [{exc.code}]: {exc.message}"))
        if exc.hint:
            err.print(Text(f"hint: {exc.hint}"))
        sys.exit(EXIT_CODES[type(exc)])
    sys.exit(0)


def _terminate(signum: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signum)


@app.command()
def variants(
    names: Annotated[list[str] | None, typer.Argument(help="Only these; all where none is named.")] = None,
) -> None:
    """Print every variant with its cost, counted by running it once."""
    table = Table(title="Cost of one view with 400 classes")
    for column in ("variant", "frames x res", "levels stage2 / stage3"):
        table.add_column(column, no_wrap=True)
    for column in ("GMACs", "params (M)", "K400 top-1 (authors)"):
        table.add_column(column, justify="right")
    rows: list[tuple[str, ...]] = []
    with _progress() as progress:
        chosen = names or list(registry.VARIANTS)
        task = progress.add_task("counting", total=len(chosen))
        for name in chosen:
            progress.update(task, description=f"counting {name}")
            model = registry.build(name)
            cost = measure(model)
            top1 = registry.VARIANTS[name].reported_top1
            rows.append(
                (
                    name,
                    f"{model.config.frames} x {model.config.resolution}",
                    _levels(model.config),
                    f"{cost.gmacs:.3f}",
                    f"{cost.parameters_m:.3f}",
                    "-" if top1 is None else f"{top1:.2f}",
                )
            )
            progress.advance(task)
    out = Console()
    if not out.is_terminal:
        # For programs: one variant a line, columns apart by tabs, nothing cut to a width.
        header = [str(column.header) for column in table.columns]
        for cells in (header, *rows):
            typer.echo("\t".join(cells))
        return
    for cells in rows:
        table.add_row(*cells)
    out.print(table)


@app.command()
def convert(
    *,
    checkpoint: Annotated[Path, typer.Argument(help="The authors' file, or a backbone of theirs.")],
    output: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
    variant: Annotated[str, typer.Option(help="Name from `laps-export variants`.")],
    force: Annotated[bool, typer.Option(help="Replace the output if it is there.")] = False,
) -> None:
    """Turn a checkpoint into safetensors that carry their configuration."""
    if output.exists() and not force:
        raise RepositoryError(f"{output} is there already", code="file_exists", hint="--force replaces it")
    read = read_checkpoint(checkpoint)
    read = read.with_own_head(classes=read.own_classes)
    if not read.has_head:
        raise CheckpointError(f"{checkpoint.name} has no head", code="no_head", hint="only whole models are converted")
    model = registry.build(variant, classes=read.own_classes)
    load_weights(model, read)
    _tell(read)
    notes = {"epoch": read.epoch, "best_acc1": read.best_acc1, "converted_from": read.sha256}
    try:
        save_checkpoint(output, model, variant=variant, notes=notes)
    except OSError as exc:
        raise RepositoryError(f"cannot write {output}: {exc.strerror or exc}", code="cannot_write") from exc
    typer.echo(f"{output}: {variant}, {model.config.classes} classes")


@app.command()
def onnx(
    *,
    labels: Annotated[
        str, typer.Option(help=f"A shipped label set ({', '.join(shipped_label_sets())}) or a labels.txt.")
    ],
    name: Annotated[str, typer.Option(help="The model's name in the repository.")],
    checkpoint: Annotated[Path | None, typer.Option(help="Weights: the authors' file, or ours.")] = None,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Random weights instead; for benchmarks and tests.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    variant: Variant = None,
    repository: Annotated[Path, typer.Option(help="The model_repository folder.")] = Path("model_repository"),
    version: Annotated[int | None, typer.Option(help="Version to write; the next free one if left out.")] = None,
    force: Annotated[bool, typer.Option(help="Replace the version if it is there.")] = False,
    default_views: Annotated[str, typer.Option(help="Temporal x spatial views of a video.")] = "5x3",
    stride: Annotated[int, typer.Option(help="Frames of the video between two sampled frames.")] = 8,
    temperature: Annotated[float, typer.Option(help="Divides the logits before the softmax.")] = 1.0,
    sampling: Annotated[
        SamplingRule,
        typer.Option(help="How clips are placed in a video's time: the authors' rule, or never back in it."),
    ] = "laps_uniform",
    tensorrt_accelerator: Annotated[
        TensorRtPrecision | None,
        typer.Option(help="Let Triton's ONNX Runtime use TensorRT, in this precision.", show_default=False),
    ] = None,
) -> None:
    """Write one version of a model_repository entry, after the parity gate."""
    serving = Serving(default_views=default_views, stride=stride, temperature=temperature, sampling=sampling)
    label_set = load_labels(labels)
    if checkpoint is None and not random_weights:
        raise CheckpointError("no weights given", code="no_weights", hint="--checkpoint FILE, or --random-weights")
    read = None if checkpoint is None else read_checkpoint(checkpoint)
    variant = _variant_of(variant, read)
    model = registry.build(variant, classes=len(label_set))
    origin = _fill(model, read, random_weights=random_weights, seed=seed)
    bundle = Bundle(
        model=model,
        variant=variant,
        labels=label_set,
        name=name,
        origin=origin,
        serving=serving,
        version=version,
        force=force,
        tensorrt=tensorrt_accelerator,
    )
    with _progress() as progress:
        task = progress.add_task("export", total=None)
        written = write_bundle(bundle, repository, on_progress=_reporter(progress, task))
    parity = written.parity
    typer.echo(
        f"{written.path}: {variant}, {len(label_set)} classes; ONNX Runtime within {parity.max_abs_diff:.2g}"
        f" of torch (allowed {parity.tolerance:g}) at batches {', '.join(map(str, parity.batch_sizes))}"
    )
    if written.kept_config and tensorrt_accelerator is not None:
        typer.echo(f"{name}/config.pbtxt was there and stays as it is: turn TensorRT on in it by hand", err=True)
    if origin.untrained:
        typer.echo("untrained: random weights, the answers mean nothing", err=True)


@app.command()
def tensorrt(
    model_dir: Annotated[Path, typer.Argument(help="<repository>/<name> of an ONNX entry.")],
    *,
    version: Annotated[int | None, typer.Option(help="Of the entry; its highest if left out.")] = None,
    name: Annotated[str | None, typer.Option(help="The new entry's name; NAME-trt if left out.")] = None,
    precision: Annotated[str, typer.Option(help="float16 or float32.")] = "float16",
    batch_sizes: Annotated[str, typer.Option(help="Fixed batch sizes; a profile is tuned for each.")] = ",".join(
        map(str, DEFAULT_BATCH_SIZES)
    ),
    timing_cache: Annotated[
        Path | None, typer.Option(help="File of kernel timings, so that the next build is quick.")
    ] = None,
    container: Annotated[str | None, typer.Option(help="Build with trtexec of this image, by docker.")] = None,
    force: Annotated[bool, typer.Option(help="Replace the version if it is there.")] = False,
) -> None:
    """Build a TensorRT plan of an ONNX entry, as an entry of its own, on the GPU that will run it."""
    options = PlanOptions(
        name=name,
        version=version,
        precision=_precision(precision),
        batch_sizes=_sizes(batch_sizes),
        timing_cache=timing_cache,
        force=force,
    )
    with _progress() as progress:
        task = progress.add_task("plan", total=None)
        written = write_plan(
            model_dir,
            options,
            find_builder=lambda: find_builder(container=container, again=_again(model_dir, options)),
            on_progress=_reporter(progress, task),
        )
    built = written.built
    typer.echo(
        f"{written.path}: {precision}, {built.gpu}, TensorRT {built.tensorrt}, batches {batch_sizes};"
        f" its {precision} graph within {written.max_abs_diff:.2g}"
    )
    if written.unkept_timings is not None:
        typer.echo(f"the timings are not kept: {written.unkept_timings}", err=True)


def _again(model_dir: Path, options: PlanOptions) -> str:
    """The command that asked, for another machine."""
    command = ["laps-export", "tensorrt", str(model_dir), "--precision", options.precision]
    command += ["--batch-sizes", ",".join(map(str, options.batch_sizes))]
    for name in ("name", "version", "timing_cache"):
        if (value := getattr(options, name)) is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*command, "--force"] if options.force else command)


def _precision(text: str) -> Precision:
    if text == "float16":
        return "float16"
    if text == "float32":
        return "float32"
    raise typer.BadParameter(f"{text!r} is neither float16 nor float32")


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return check_batch_sizes([int(part) for part in text.split(",")])
    except ValueError as exc:
        raise typer.BadParameter(f"{text!r} is no list of numbers as 1,2,4") from exc


@app.command()
def verify(
    model_dir: Annotated[Path, typer.Argument(help="<repository>/<name>.")],
    version: Annotated[int | None, typer.Option(help="Only this version.")] = None,
) -> None:
    """Check hashes, labels, tensor contract and a short run of what lies in a repository."""
    for checked in check_entry(model_dir, version=version):
        note = ", untrained" if checked.untrained else ""
        note += "" if checked.plan is None else f", {checked.plan}, not run here"
        typer.echo(f"{model_dir.name} version {checked.version}: ok ({checked.variant}{note})")


def _variant_of(asked: str | None, checkpoint: Checkpoint | None) -> str:
    if asked is not None:
        return asked
    if checkpoint is not None and checkpoint.variant is not None:
        return checkpoint.variant
    raise ConfigError(
        "no variant given",
        code="unknown_variant",
        hint=f"--variant, one of {', '.join(registry.VARIANTS)}; the authors' files do not say theirs",
    )


def _fill(model: Laps, read: Checkpoint | None, *, random_weights: bool, seed: int) -> Origin:
    """Give the model its weights and say where they come from."""
    if random_weights:
        if read is not None and read.source is not Source.PRETRAINED:
            raise CheckpointError(
                f"both {read.path.name} and random weights",
                code="two_weights",
                hint="the two go together for a pretrained backbone only, which has no head",
            )
        randomise(model, seed=seed)
    if read is not None:
        read = read if random_weights else read.with_own_head(classes=model.config.classes)
        load_weights(model, read, keep_head=random_weights)
        _tell(read)
    return Origin(
        checkpoint=read,
        untrained=random_weights,
        seed=seed if random_weights else None,
        metrics=read.notes.get("metrics", {}) if read else {},
        recipe=read.notes.get("recipe", {}) if read else {},
    )


def _tell(read: Checkpoint) -> None:
    """Say on the error stream what of a file was not taken as it is."""
    if read.head:
        typer.echo(f"{read.path.name}: dropped {', '.join(read.head)} (pretrained backbone)", err=True)
    for remark in read.remarks:
        typer.echo(f"{read.path.name}: {remark}", err=True)


def _levels(config: LapsConfig) -> str:
    if not config.levels[0]:
        return "-"
    return " / ".join("[" + ",".join(map(str, levels)) + "]" for levels in config.levels)


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _reporter(progress: Progress, task: TaskID) -> OnProgress:
    """A bar on a terminal; elsewhere a line for each stage, so that a log shows where the minutes go."""
    last = ""

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        progress.update(task, description=what, completed=done, total=total)
        if not progress.console.is_terminal and what != last:
            typer.echo(what, err=True)
            last = what

    return report
