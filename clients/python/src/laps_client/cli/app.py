"""The commands and their options: parse, refuse contradictions, run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

import laps_client
from laps_client._defaults import BASE_URL
from laps_client._options import Options
from laps_client.cli.classify import ClassifyRequest
from laps_client.cli.classify import classify as run_classify
from laps_client.cli.connection import Connection, headers_of
from laps_client.cli.diff import DiffRequest
from laps_client.cli.diff import diff as run_diff
from laps_client.cli.display import Display
from laps_client.cli.evaluate import EvaluateRequest
from laps_client.cli.evaluate import evaluate as run_evaluate
from laps_client.cli.exit_status import NOT_WRITTEN, CommandFailed, not_written
from laps_client.cli.login import login as run_login
from laps_client.cli.login import logout as run_logout
from laps_client.cli.models import list_models, show_model
from laps_client.cli.results_writer import Format, is_terminal
from laps_client.cli.run_to_exit import run_to_exit
from laps_client.cli.standard_streams import send_nowhere, settle_messages
from laps_client.cli.watch import WatchRequest
from laps_client.cli.watch import watch as run_watch

app = typer.Typer(
    name="laps",
    help="Classify videos on a LAPS server. Results go to standard output; progress and messages to standard error.",
    epilog="Exit status: 0 all is well, 1 some files failed, 2 wrong use, 3 no server that is ready, "
    "4 results cannot be written, 5 models differ more than they may, "
    "130 interrupted, 143 terminated, 141 standard output closed.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

Url = Annotated[str, typer.Option("--url", envvar="LAPS_URL", help="Address of the server.")]
Header = Annotated[
    list[str] | None, typer.Option("--header", help="'Name: value' to send with every request.", show_default=False)
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        help="Key that the server asks for; else LAPS_API_KEY, else what laps login keeps.",
        show_default=False,
    ),
]
Model = Annotated[str | None, typer.Option(help="Model to use; the server's default if not given.", show_default=False)]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME[/VERSION]",
        help="Model to use; the server's default if not given. Given again, the models' scores are averaged.",
        show_default=False,
    ),
]
Version = Annotated[int | None, typer.Option(help="Its version; the highest if not given.", show_default=False)]
Views = Annotated[
    str | None, typer.Option(help="As 5x3, 10x3 or 1x1; the model's default if not given.", show_default=False)
]
TopK = Annotated[int | None, typer.Option(help="Labels of each file; 5 if not given.", show_default=False)]
Segments = Annotated[
    str | None, typer.Option(help="Classify in segments of this length too, as 10s or 2m.", show_default=False)
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--labels", help="Rank these labels alone, as red,blue; may be given again.", show_default=False),
]
Embedding = Annotated[bool, typer.Option("--embedding", help="The video's embedding, in JSON.")]
DeadlineS = Annotated[
    float | None, typer.Option("--deadline", help="Seconds for each file, retries included.", show_default=False)
]
Concurrency = Annotated[int, typer.Option(min=1, help="Files in flight at once.")]
SkipDone = Annotated[
    Path | None,
    typer.Option(
        help="Results file: files that it holds are skipped, and each new result is added as a line of JSON.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no warnings; only errors.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON array.")]
JsonLines = Annotated[bool, typer.Option("--jsonl", help="One JSON object a line, as files finish.")]
Csv = Annotated[bool, typer.Option("--csv", help="One line a prediction, under a line of names.")]


@app.command()
def classify(
    paths: Annotated[list[Path], typer.Argument(help="Video files, and folders to search for them.")],
    *,
    model: Model = None,
    version: Version = None,
    views: Views = None,
    top_k: TopK = None,
    segments: Segments = None,
    labels: Labels = None,
    embedding: Embedding = False,
    frames: Annotated[bool, typer.Option(help="Scores over time, in JSON and for the terminal.")] = True,
    deadline: DeadlineS = None,
    json: Json = False,
    jsonl: JsonLines = False,
    csv: Csv = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the scores over time into this file, as out.png.", show_default=False)
    ] = None,
    skip_done: SkipDone = None,
    concurrency: Concurrency = 4,
    quiet: Quiet = False,
    url: Url = BASE_URL,
    header: Header = None,
    api_key: ApiKey = None,
) -> None:
    """Classify video files and folders of them."""
    chosen = _format(json=json, jsonl=jsonl, csv=csv)
    if plot is not None and not frames and segments is None:
        raise typer.BadParameter("--plot draws the scores that --no-frames leaves out")
    _check_embedding(embedding, chosen, skip_done)
    # Frame scores are most of an answer, and the lines for a pipe do not show them.
    options = _options(
        model=model,
        version=version,
        views=views,
        segments=segments,
        labels=labels,
        embedding=embedding,
        deadline_s=deadline,
        top_k=top_k,
        frames=frames and (chosen not in ("plain", "csv") or plot is not None),
    )
    request = ClassifyRequest(
        paths=paths, options=options, format=chosen, concurrency=concurrency, skip_done=skip_done, plot=plot
    )
    _run(
        lambda connection, display: run_classify(connection, request, display),
        url=url,
        header=header,
        api_key=api_key,
        quiet=quiet,
    )


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="A model, to see in full.", show_default=False)] = None,
    *,
    version: Version = None,
    json: Annotated[bool, typer.Option("--json", help="The server's JSON.")] = False,
    labels: Annotated[
        bool, typer.Option("--labels", help="Only the model's labels, in the order of their indices.")
    ] = False,
    url: Url = BASE_URL,
    header: Header = None,
    api_key: ApiKey = None,
) -> None:
    """List the served models, or show one in full."""
    terminal = is_terminal(sys.stdout.fileno())

    def work(connection: Connection, _display: Display) -> Coroutine[Any, Any, int]:
        if name is None:
            return list_models(connection, as_json=json, terminal=terminal)
        return show_model(connection, name, version, as_json=json, labels=labels, terminal=terminal)

    if name is None and (labels or version is not None):
        raise typer.BadParameter("--labels and --version need the name of a model")
    _run(work, url=url, header=header, api_key=api_key, quiet=True)


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(help="Folder to watch, with the folders in it.")],
    *,
    model: Model = None,
    version: Version = None,
    views: Views = None,
    top_k: TopK = None,
    segments: Segments = None,
    labels: Labels = None,
    embedding: Embedding = False,
    deadline: DeadlineS = None,
    jsonl: JsonLines = False,
    csv: Csv = False,
    skip_done: SkipDone = None,
    existing: Annotated[bool, typer.Option("--existing", help="Classify files that are already there too.")] = False,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds without a change after which a file is complete.")
    ] = 2.0,
    interval: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks at the folder.")] = 1.0,
    concurrency: Concurrency = 4,
    quiet: Quiet = False,
    url: Url = BASE_URL,
    header: Header = None,
    api_key: ApiKey = None,
) -> None:
    """Classify what arrives in a folder, until interrupted."""
    chosen = _format(jsonl=jsonl, csv=csv)
    _check_embedding(embedding, chosen, skip_done)
    options = _options(
        model=model,
        version=version,
        views=views,
        segments=segments,
        labels=labels,
        embedding=embedding,
        deadline_s=deadline,
        top_k=top_k,
        frames=chosen not in ("plain", "csv"),
    )
    request = WatchRequest(
        folder=folder,
        options=options,
        format=chosen,
        concurrency=concurrency,
        skip_done=skip_done,
        existing=existing,
        interval_s=interval,
        settle_s=settle,
    )
    _run(
        lambda connection, display: run_watch(connection, request, display),
        url=url,
        header=header,
        api_key=api_key,
        quiet=quiet,
    )


@app.command()
def evaluate(
    list_path: Annotated[
        Path,
        typer.Argument(
            metavar="LIST", help="A path and a label a line: path,label, or path index as in Kinetics lists."
        ),
    ],
    *,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the list's paths; the list's own if not given.", show_default=False)
    ] = None,
    model: Models = None,
    version: Version = None,
    views: Views = None,
    deadline: DeadlineS = None,
    json: Annotated[bool, typer.Option("--json", help="The whole report as JSON.")] = False,
    worst: Annotated[int, typer.Option(min=0, help="Classes and confusions to print.")] = 10,
    classes: Annotated[
        Path | None, typer.Option(help="Write all classes to this CSV file.", show_default=False)
    ] = None,
    confusion: Annotated[
        Path | None, typer.Option(help="Write the confusion matrix to this CSV file.", show_default=False)
    ] = None,
    skip_done: SkipDone = None,
    concurrency: Concurrency = 4,
    quiet: Quiet = False,
    url: Url = BASE_URL,
    header: Header = None,
    api_key: ApiKey = None,
) -> None:
    """Measure a model, or the mean of several, on labelled videos: top-1, top-5, intervals; classes, confusions."""
    chosen = tuple(model or ())
    if version is not None and (len(chosen) > 1 or any("/" in name for name in chosen)):
        raise typer.BadParameter("--version is of one --model NAME; write --model NAME/VERSION")
    options = _options(model=None, version=version, views=views, deadline_s=deadline)
    request = EvaluateRequest(
        list_path=list_path,
        root=root,
        models=chosen,
        options=options,
        concurrency=concurrency,
        skip_done=skip_done,
        as_json=json,
        worst=worst,
        classes=classes,
        confusion=confusion,
    )
    _run(
        lambda connection, display: run_evaluate(connection, request, display),
        url=url,
        header=header,
        api_key=api_key,
        quiet=quiet,
    )


@app.command()
def login(*, url: Url = BASE_URL) -> None:
    """Keep a server's key for later commands; asks for it, or reads it from standard input."""
    key = typer.prompt("Key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    _run(run_login, url=url, api_key=key.strip(), quiet=False)


@app.command()
def logout(*, url: Url = BASE_URL) -> None:
    """Forget the key that is kept for a server."""
    _run(run_logout, url=url, quiet=False)


@app.command()
def diff(
    model_a: Annotated[str, typer.Argument(metavar="MODEL_A", help="A model, as NAME or NAME/VERSION.")],
    model_b: Annotated[str, typer.Argument(metavar="MODEL_B", help="Another, or another version of it.")],
    paths: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Folders of videos, and video files.")],
    *,
    views: Views = None,
    deadline: DeadlineS = None,
    json: Annotated[bool, typer.Option("--json", help="The whole report as JSON.")] = False,
    worst: Annotated[int, typer.Option(min=0, help="Files to print, those that differ most first.")] = 10,
    min_agreement: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of videos below which the exit status is 5.", show_default=False),
    ] = None,
    concurrency: Concurrency = 4,
    quiet: Quiet = False,
    url: Url = BASE_URL,
    header: Header = None,
) -> None:
    """Compare two served models on the same videos: agreement, score shifts, the files that differ most."""
    request = DiffRequest(
        models=(model_a, model_b),
        paths=paths,
        options={"views": views, "deadline_s": deadline, "frames": False},
        concurrency=concurrency,
        as_json=json,
        worst=worst,
        min_agreement=min_agreement,
    )
    _run(lambda connection, display: run_diff(connection, request, display), url=url, header=header, quiet=quiet)


@app.callback(invoke_without_command=True)
def _version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show:
        typer.echo(laps_client.__version__)
        raise typer.Exit


def run() -> None:
    """Parse the command line and run it."""
    settle_messages()
    if sys.stdout is None:
        _fail(CommandFailed(NOT_WRITTEN, "standard output is closed", "send it to a file, or to /dev/null"))
    try:
        app(prog_name="laps")  # whatever file was started: shell completion depends on the name
    except OSError as exc:  # what Typer itself prints, as the help
        send_nowhere(sys.stdout)
        _fail(not_written("standard output", exc))


def _fail(failure: CommandFailed) -> NoReturn:
    Display().command_failed(failure)
    sys.exit(failure.status)


def _format(*, json: bool = False, jsonl: bool = False, csv: bool = False) -> Format:
    wanted: dict[Format, bool] = {"json": json, "jsonl": jsonl, "csv": csv}
    given = [name for name, asked in wanted.items() if asked]
    if len(given) > 1:
        raise typer.BadParameter(f"choose one of {' and '.join(f'--{name}' for name in given)}")
    return given[0] if given else "table" if is_terminal(sys.stdout.fileno()) else "plain"


def _check_embedding(embedding: bool, chosen: Format, skip_done: Path | None) -> None:
    if embedding and chosen not in ("json", "jsonl") and skip_done is None:
        raise typer.BadParameter("--embedding needs an output of JSON, which has a place for it")


def _options(
    *,
    model: str | None,
    version: int | None,
    views: str | None,
    deadline_s: float | None,
    segments: str | None = None,
    labels: list[str] | None = None,
    embedding: bool = False,
    top_k: int | None = None,
    frames: bool = False,
) -> Options:
    if deadline_s is not None and not 0 < deadline_s < float("inf"):
        raise typer.BadParameter("--deadline is a positive number of seconds")
    return {
        "model": model,
        "version": version,
        "views": views,
        "segments": segments,
        "labels": labels or None,
        "embedding": embedding,
        "deadline_s": deadline_s,
        "top_k": top_k,
        "frames": frames,
    }


def _run(
    work: Callable[[Connection, Display], Coroutine[Any, Any, int]],
    *,
    url: str,
    quiet: bool,
    header: list[str] | None = None,
    api_key: str | None = None,
) -> None:
    display = Display(quiet=quiet)
    try:
        connection = Connection(url, headers_of(header or ()), api_key)
    except CommandFailed as failure:
        display.command_failed(failure)
        raise typer.Exit(failure.status) from failure
    raise typer.Exit(run_to_exit(display, lambda: work(connection, display)))
