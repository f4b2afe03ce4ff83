"""`laps-export onnx`: weights to one version of a model_repository entry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from laps_export.checkpoint.reading import read_checkpoint
from laps_export.cli.progress import progress_bar, reporter
from laps_export.cli.weights import fill, variant_of
from laps_export.errors import CheckpointError, LabelsError
from laps_export.families import registry
from laps_export.families.family import Family
from laps_export.repository.entry import DEFAULT_REPOSITORY
from laps_export.repository.label_set import load_labels, shipped_label_sets
from laps_export.repository.serving import Serving
from laps_export.repository.triton_config import AcceleratorPrecision
from laps_export.repository.write_version import VersionRequest, write_version

if TYPE_CHECKING:
    SamplingRule = str
else:
    SamplingRule = Literal[registry.sampling_rules()]


def _own(text: str, *values: object) -> str:
    """The help of an option whose default is the family's: the value, where all families have the same."""
    known = {str(value) for value in values}
    default = known.pop() if len(known) == 1 else "the family's"
    return rf"{text} \[default: {default}]"


_OWN = [family.serving for family in registry.FAMILIES.values()]


def onnx(
    *,
    name: Annotated[str, typer.Option(help="The model's name in the repository.")],
    labels: Annotated[
        str | None,
        typer.Option(
            help=f"A shipped label set ({', '.join(shipped_label_sets())}) or a labels.txt; may be left out where the"
            " order of the family's authors is known.",
        ),
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights: the authors' file, or ours.")] = None,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Random weights instead; for benchmarks and tests.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    variant: Annotated[
        str | None, typer.Option(help="Name from `laps-export variants`; our own files know theirs.")
    ] = None,
    repository: Annotated[Path, typer.Option(help="The model_repository folder.")] = DEFAULT_REPOSITORY,
    version: Annotated[int | None, typer.Option(help="Version to write; the next free one if left out.")] = None,
    force: Annotated[bool, typer.Option(help="Replace the version if it is there.")] = False,
    default_views: Annotated[
        str | None,
        typer.Option(help=_own("Temporal x spatial views of a video.", *(own.default_views for own in _OWN))),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(help=_own("Frames of the video between two sampled frames.", *(own.stride for own in _OWN))),
    ] = None,
    temperature: Annotated[float, typer.Option(help="Divides the logits before the softmax.")] = Serving.temperature,
    sampling: Annotated[
        SamplingRule | None,
        typer.Option(
            help=_own(
                "How clips are placed in a video's time: the authors' rule, or never back in it.",
                *(own.sampling[0] for own in _OWN),
            )
        ),
    ] = None,
    tensorrt_accelerator: Annotated[
        AcceleratorPrecision | None,
        typer.Option(help="Let Triton's ONNX Runtime use TensorRT, in this precision.", show_default=False),
    ] = None,
) -> None:
    """Write one version of a model_repository entry, after the parity gate."""

    def serving_of(family: Family, variant: str | None) -> Serving:
        return Serving.of(
            family,
            variant=variant,
            default_views=default_views,
            stride=stride,
            temperature=temperature,
            sampling=sampling,
        )

    asked = registry.family_of(variant)
    # What no server could follow is refused before files are read; any family will do for that.
    serving_of(asked or next(iter(registry.FAMILIES.values())), variant)
    if checkpoint is None and not random_weights:
        raise CheckpointError("no weights given", code="no_weights", hint="--checkpoint FILE, or --random-weights")
    read = None if checkpoint is None else read_checkpoint(checkpoint, family=asked)
    named = variant_of(variant, read)
    family, _ = registry.find_variant(named)
    label_set = load_labels(_labels_of(family) if labels is None else labels)
    model = registry.build(named, classes=len(label_set))
    origin = fill(model, read, random_weights=random_weights, seed=seed)
    request = VersionRequest(
        model=model,
        labels=label_set,
        name=name,
        origin=origin,
        serving=serving_of(model.family, named),
        version=version,
        force=force,
        tensorrt=tensorrt_accelerator,
    )
    with progress_bar() as progress:
        task = progress.add_task("export", total=None)
        written = write_version(request, repository, on_progress=reporter(progress, task))
    parity = written.parity
    typer.echo(
        f"{written.path}: {model.variant}, {len(label_set)} classes; ONNX Runtime within {parity.max_abs_diff:.2g}"
        f" of torch (allowed {parity.tolerance:g}) at batches {', '.join(map(str, parity.batch_sizes))}"
    )
    if written.kept_config and tensorrt_accelerator is not None:
        typer.echo(f"{name}/config.pbtxt was there and stays as it is: turn TensorRT on in it by hand", err=True)
    if origin.untrained:
        typer.echo("untrained: random weights, the answers mean nothing", err=True)


def _labels_of(family: Family) -> str:
    """The label set in the order of the authors' outputs.

    Raises:
        LabelsError: `no_labels`.
    """
    if family.labels is None:
        raise LabelsError(
            f"no labels given, and family {family.name} has no one order of outputs that is known",
            code="no_labels",
            hint="--labels, a shipped label set or a labels.txt in the order that the weights were trained with",
        )
    if not family.labels.proven:
        typer.echo(
            f"labels: {family.labels.name}, which is likely the authors' order, though no trained checkpoint's answers"
            " have been seen in it; --labels says it otherwise",
            err=True,
        )
    return family.labels.name
