"""``laps-server serve | ray-serve | batch | classify | models | tune | views | keys``: parse, build settings, run.

Standard output carries results alone; progress, logs and errors go to standard error. Exit status: 0 success,
1 the server or a file failed, 2 the command or the repository is wrong, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from rich.console import Console

from laps_server import __version__, cli_batch, cli_keys
from laps_server.classify_options import ClassifyOptions
from laps_server.cli_output import Output, print_models, print_results, print_tuning, save_views
from laps_server.engines.choices import Precision
from laps_server.engines.registry import ENGINES
from laps_server.errors import InternalError, LapsError
from laps_server.logs import configure_logging
from laps_server.segment_length import SegmentLength
from laps_server.serve import serve as run_server
from laps_server.settings import Settings, variable
from laps_server.view_grid import ViewGrid

S = TypeVar("S", bound=BaseSettings)

EXIT_FAILED = 1
EXIT_WRONG_USE = 2
EXIT_INTERRUPTED = 130  # 128 and the signal's number, as shells have it

app = typer.Typer(
    name="laps-server",
    help="Serve LAPS video classification models. Settings are read from LAPS_<NAME> in the environment too.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_keys.app)
_errors = Console(stderr=True, highlight=False)

RepositoryOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model-repository",
        help="Folder with one folder a model; may be given again: of models of one name the first folder's is taken.",
        show_default=False,
    ),
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", help="Threads of inference; all cores if not given.", show_default=False)
]
EngineOption = Annotated[
    str | None, typer.Option("--engine", help=f"auto, {' or '.join(ENGINES)}.", show_default=False)
]
PrecisionOption = Annotated[
    str | None,
    typer.Option("--precision", help=f"auto, {' or '.join(get_args(Precision))}.", show_default=False),
]
TritonUrlOption = Annotated[
    str | None,
    typer.Option(
        "--triton-url",
        help="As grpc://host:8001 or http://host:8000; with TLS grpcs:// or https://.",
        show_default=False,
    ),
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Model to use.", show_default=False)]
VersionOption = Annotated[int | None, typer.Option(help="Version of the model.", show_default=False)]
ViewsOption = Annotated[str | None, typer.Option(help="As 5x3, 10x3 or 1x1.", show_default=False)]
LabelsOption = Annotated[
    list[str] | None,
    typer.Option(help="Rank these labels alone, as red,blue; may be given again.", show_default=False),
]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda or tensorrt.", show_default=False)]


@app.command()
def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", show_default=False)] = None,
    model_repository: RepositoryOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = None,
    precision: PrecisionOption = None,
    triton_url: TritonUrlOption = None,
    default_model: Annotated[
        str | None,
        typer.Option(
            help="Model of a request that names none; of several, as a,b, the first that is served.", show_default=False
        ),
    ] = None,
    keys_file: Annotated[Path | None, typer.Option(help="File of API keys; see keys add.", show_default=False)] = None,
    allow_anonymous: Annotated[
        bool | None,
        typer.Option("--allow-anonymous", help="Answer everybody, also on an address that others may reach."),
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.", show_default=False)] = None,
) -> None:
    """Answer POST /classify until stopped by a signal."""
    settings = _settings(
        host=host,
        port=port,
        model_repository=model_repository,
        device=device,
        threads=threads,
        engine=engine,
        precision=precision,
        triton_url=triton_url,
        default_model=default_model,
        keys_file=keys_file,
        allow_anonymous=allow_anonymous,
        log_level=log_level,
    )
    configure_logging(settings.log_level, settings.log_format)
    raise typer.Exit(run_server(settings))


@app.command()
def ray_serve(
    *,
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray cluster, as 10.0.0.1:6379 or auto; one of this machine alone if not given.", show_default=False
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when it serves, and leave it in the cluster.")
    ] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Port of Ray's proxies.", show_default=False)] = None,
    model_repository: RepositoryOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Serve as replicas on a Ray cluster, until stopped by a signal; more is set by LAPS_RAY_<NAME>."""
    try:
        from laps_server.scale.serve import ray_serve as run_replicas  # noqa: PLC0415 - an extra, and seconds to load
        from laps_server.scale.settings import RaySettings  # noqa: PLC0415
        from laps_server.scale.settings import variable as ray_variable  # noqa: PLC0415
    except ImportError as exc:
        raise typer.BadParameter(f"Ray is not installed ({exc}); install laps-server[scale]") from exc
    settings = _settings(
        host=host,
        port=port,
        model_repository=model_repository,
        device=device,
        threads=threads,
        engine=engine,
        precision=precision,
    )
    ray_settings = _checked(RaySettings, ray_variable, address=address)
    configure_logging(settings.log_level, settings.log_format)
    try:
        status = run_replicas(settings, ray_settings, detach=detach)
    except KeyboardInterrupt:  # before it served
        _errors.print("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    raise typer.Exit(status)


@app.command()
def classify(
    paths: Annotated[list[Path], typer.Argument(help="Video files, or folders to search for them.")],
    *,
    model: ModelOption = None,
    version: VersionOption = None,
    views: ViewsOption = None,
    top_k: Annotated[int | None, typer.Option(help="Number of labels; 5 if not given.", show_default=False)] = None,
    frames: Annotated[bool, typer.Option(help="Scores over time in JSON output.")] = False,
    segments: Annotated[
        str | None,
        typer.Option(
            help="Classify window by window, as 10s, 1.5m or 1h; each of them is in JSON output.", show_default=False
        ),
    ] = None,
    labels: LabelsOption = None,
    embedding: Annotated[bool, typer.Option("--embedding", help="The video's embedding in JSON output.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON array of all answers.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object a line, as files finish.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, help="Files in flight at once; their views share batches.")] = 4,
    model_repository: RepositoryOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = None,
    precision: PrecisionOption = None,
    triton_url: TritonUrlOption = None,
) -> None:
    """Classify files without HTTP; a file that cannot be classified is reported and the others go on."""
    # What the command line asks for.
    if json and jsonl:
        raise typer.BadParameter("choose one of --json and --jsonl")
    if embedding and not (json or jsonl):
        raise typer.BadParameter("--embedding needs --json or --jsonl")
    output: Output = "json" if json else "jsonl" if jsonl else "table"
    settings = _settings(
        model_repository=model_repository, threads=threads, engine=engine, precision=precision, triton_url=triton_url
    )
    configure_logging("error")
    for warning in settings.warnings:  # the log, which has them too, shows errors alone
        _errors.print(f"warning: {warning}", markup=False, soft_wrap=True)
    options = ClassifyOptions(
        model=model,
        version=version,
        top_k=top_k,
        views=None if views is None else ViewGrid.parse(views),
        frames=frames,
        segments=None if segments is None else SegmentLength.parse(segments),
        labels=tuple(labels or ()),
        embedding=embedding,
    )
    # The work, and the exit status.
    try:
        failed = asyncio.run(print_results(settings, paths, options, output=output, concurrency=concurrency))
    except KeyboardInterrupt:
        _errors.print("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    raise typer.Exit(1 if failed else 0)


@app.command()
def batch(
    source: Annotated[
        str,
        typer.Argument(help="A video, a folder, a pattern, a URL as s3://bucket/clips, or a list (.csv, .parquet)."),
    ],
    destination: Annotated[str, typer.Argument(metavar="DEST", help="Folder of the rows, here or in a bucket.")],
    *,
    model: ModelOption = None,
    version: VersionOption = None,
    views: ViewsOption = None,
    top_k: Annotated[
        str | None, typer.Option(help="Number of labels, or all; 5 if not given.", show_default=False)
    ] = None,
    frames: Annotated[bool, typer.Option("--frames", help="Scores over time.")] = False,
    segments: Annotated[
        str | None, typer.Option(help="A row for each window, as 10s, 1.5m or 1h.", show_default=False)
    ] = None,
    labels: LabelsOption = None,
    embedding: Annotated[bool, typer.Option("--embedding", help="The video's embedding.")] = False,
    row_format: Annotated[str, typer.Option("--format", help="Of the rows: parquet or jsonl.")] = "parquet",
    column: Annotated[str, typer.Option(help="Of a list: which column names the videos.")] = "path",
    limit: Annotated[
        int | None, typer.Option(min=1, help="The first of the videos alone, done ones counted.", show_default=False)
    ] = None,
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="In another order, the same one for the same seed.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the order by --shuffle.")] = 0,
    max_errors: Annotated[
        int | None, typer.Option(min=0, help="Stop once more videos than that failed.", show_default=False)
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do those again whose rows are errors.")] = False,
    ray_address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster, as auto or 10.0.0.1:6379; this machine if not given.", show_default=False),
    ] = None,
    actors: Annotated[
        str, typer.Option(help="Least and most of them, as 2-16; one number is both. auto: 1 to what has room.")
    ] = "auto",
    cpus_per_actor: Annotated[float, typer.Option(min=0.01, help="Cores of an actor, for threads and decoders.")] = 1.0,
    gpus_per_actor: Annotated[float, typer.Option(min=0.0, help="GPUs of an actor, with --device cuda.")] = 0.0,
    videos_per_file: Annotated[
        int | None, typer.Option(min=1, help="By the number of videos, up to 64, if not given.", show_default=False)
    ] = None,
    model_repository: RepositoryOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = None,
    precision: PrecisionOption = None,
    triton_url: TritonUrlOption = None,
) -> None:
    """Classify many videos into a data set, on this machine or on a Ray cluster; what DEST holds is skipped."""
    from laps_server.scale.settings import RaySettings  # noqa: PLC0415 - for the commands that need Ray
    from laps_server.scale.settings import variable as ray_variable  # noqa: PLC0415

    settings = _settings(
        model_repository=model_repository,
        device=device,
        threads=threads,
        engine=engine,
        precision=precision,
        triton_url=triton_url,
    )
    ray_settings = _checked(RaySettings, ray_variable, address=ray_address)
    configure_logging("warning")
    request = cli_batch.BatchRequest(
        source=source,
        destination=destination,
        row_format=row_format,
        column=column,
        limit=limit,
        seed=seed if shuffle else None,
        max_errors=max_errors,
        retry_failed=retry_failed,
        actors=actors,
        cpus_per_actor=cpus_per_actor,
        gpus_per_actor=gpus_per_actor,
        videos_per_file=videos_per_file,
        all_labels=top_k == "all",
    )
    options = ClassifyOptions(
        model=model,
        version=version,
        top_k=cli_batch.label_count(top_k),
        views=None if views is None else ViewGrid.parse(views),
        frames=frames,
        segments=None if segments is None else SegmentLength.parse(segments),
        labels=tuple(labels or ()),
        embedding=embedding,
    )
    try:
        ended_well = cli_batch.run(request, settings, ray_settings, options)
    except KeyboardInterrupt:
        _errors.print("interrupted; the same command goes on where it ended")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    raise typer.Exit(0 if ended_well else 1)


@app.command()
def models(
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
    model_repository: RepositoryOption = None,
) -> None:
    """List the models of a repository, without loading them."""
    print_models(_settings(model_repository=model_repository), as_json=json)


@app.command()
def tune(
    *,
    model: ModelOption = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="File that gets the tables as JSON too.", show_default=False)
    ] = None,
    model_repository: RepositoryOption = None,
    threads: ThreadsOption = None,
    engine: EngineOption = None,
    precision: PrecisionOption = None,
) -> None:
    """Try every engine and precision on real views, and keep what is found for the next start."""
    settings = _settings(model_repository=model_repository, threads=threads, engine=engine, precision=precision)
    configure_logging("warning")
    try:
        asyncio.run(print_tuning(settings, model=model, json_file=json))
    except KeyboardInterrupt:
        _errors.print("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except OSError as exc:
        raise typer.BadParameter(f"{json} cannot be written: {exc.strerror}") from exc


@app.command()
def views(
    paths: Annotated[list[Path], typer.Argument(help="Video files, or folders to search for them.")],
    *,
    model: Annotated[str, typer.Option("--model", help="Whose views.")],
    out: Annotated[Path, typer.Option(help="The file to write: a NumPy array, uint8 [N, T, H, W, 3].")],
    version: VersionOption = None,
    count: Annotated[int, typer.Option(min=1, help="Most views; every video gives as many as the others.")] = 1300,
    model_repository: RepositoryOption = None,
) -> None:
    """Write views of videos as a model gets them, for `laps-export quantize`; no model is run."""
    settings = _settings(model_repository=model_repository, versions="all")
    configure_logging("error")
    raise typer.Exit(0 if save_views(settings, paths, model=model, version=version, count=count, out=out) else 1)


@app.callback(invoke_without_command=True)
def _version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point: errors of the tree become a message, a hint and a status, without a traceback."""
    try:
        app()
    except LapsError as exc:
        _errors.print(f"[bold red]error[/] ({exc.code}): ", end="")
        _errors.print(exc.message, markup=False, soft_wrap=True)
        if exc.hint:
            _errors.print(exc.hint, markup=False, style="dim", soft_wrap=True)
        sys.exit(EXIT_FAILED if isinstance(exc, InternalError) else EXIT_WRONG_USE)


def _settings(**given: Any) -> Settings:
    return _checked(Settings, variable, **given)


def _checked(kind: type[S], variable_of: Callable[[str], str], **given: Any) -> S:
    try:
        return kind(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        if not name:  # about several settings, so there is no single value to show
            raise typer.BadParameter(first["msg"]) from exc
        raise typer.BadParameter(f"{name} ({variable_of(name)}): {first['msg']}, not {first['input']!r}") from exc
