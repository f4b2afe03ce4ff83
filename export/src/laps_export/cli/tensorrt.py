"""`laps-export tensorrt`: a plan of an exported model, built on the GPU that will run it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from laps_export.cli.progress import progress_bar, reporter
from laps_export.tensorrt.builders import DEFAULT_BATCH_SIZES, check_batch_sizes, find_builder
from laps_export.tensorrt.plan import PlanOptions, PlanPrecision, write_plan


def tensorrt(
    model_dir: Annotated[Path, typer.Argument(help="<repository>/<name> of an ONNX entry.")],
    *,
    version: Annotated[int | None, typer.Option(help="Of the entry; its highest if left out.")] = None,
    name: Annotated[str | None, typer.Option(help="The new entry's name; NAME-trt if left out.")] = None,
    precision: Annotated[str, typer.Option(help="float16 or float32.")] = PlanOptions.precision,
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
    with progress_bar() as progress:
        task = progress.add_task("plan", total=None)
        written = write_plan(
            model_dir,
            options,
            find_builder=lambda: find_builder(container=container, command=_repeated(model_dir, options)),
            on_progress=reporter(progress, task),
        )
    built = written.built
    typer.echo(
        f"{written.path}: {precision}, {built.gpu}, TensorRT {built.tensorrt}, batches {batch_sizes};"
        f" its {precision} graph within {written.max_abs_diff:.2g}"
    )
    if written.unkept_timings is not None:
        typer.echo(f"the timings are not kept: {written.unkept_timings}", err=True)


def _repeated(model_dir: Path, options: PlanOptions) -> str:
    """The command that asked, for another machine."""
    command = ["laps-export", "tensorrt", str(model_dir), "--precision", options.precision]
    command += ["--batch-sizes", ",".join(map(str, options.batch_sizes))]
    for name in ("name", "version", "timing_cache"):
        if (value := getattr(options, name)) is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*command, "--force"] if options.force else command)


def _precision(text: str) -> PlanPrecision:
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
