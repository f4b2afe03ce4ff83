"""Several models that answer together: each gets every video, and their scores are averaged before labels are ranked.

A video goes to the models one after the other, through a chain of uploads that run at the same time::

    videos ─► first model ─► second model ─► answers of both
                 │ failed       │ failed
                 ▼              ▼
              told, and not sent on

What is averaged are scores: the probabilities that each model gives after its own views, temperature and softmax. The
mean ranks labels as the sum does. One model alone is the same with nothing to average.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from itertools import combinations

from laps_client._async_client import AsyncLapsClient
from laps_client._options import Options
from laps_client._outcome import Outcome
from laps_client._results import Classification, ModelInfo, Prediction
from laps_client.cli.connection import outcomes_of
from laps_client.cli.display import Display
from laps_client.cli.exit_status import wrong_use
from laps_client.cli.labelled_videos import LabelledVideo
from laps_client.cli.model_reference import parse_reference
from laps_client.cli.run_settings import RunSettings, pinned, requested_settings


@dataclass(frozen=True, slots=True)
class Member:
    """One of the models, and what it is asked with."""

    model: ModelInfo
    settings: RunSettings

    @property
    def name(self) -> str:
        """Of the model, with its version."""
        return f"{self.model.name}/{self.model.version}"


async def find_members(client: AsyncLapsClient, references: Sequence[str], options: Options) -> tuple[Member, ...]:
    """The models that are named, as ``NAME`` or ``NAME/VERSION``; the server's default where none is.

    Raises:
        CommandFailed: there is no such model or version, or no server, or their scores have no mean.
    """
    asked: list[Options] = [{**options}]
    if references:
        asked = []
        for name, version in map(parse_reference, references):
            asked.append({**options, "model": name, "version": version or options.get("version")})
    members = []
    for each in asked:
        settings, model = await requested_settings(client, each)
        members.append(Member(model, settings))
    _check_agree(members)
    return tuple(members)


async def answers_of(
    client: AsyncLapsClient,
    members: Sequence[Member],
    videos: Iterable[LabelledVideo],
    options: Options,
    *,
    concurrency: int,
    display: Display,
) -> AsyncGenerator[tuple[LabelledVideo, tuple[Classification, ...]], None]:
    """Each video that no model failed on, with an answer of each model in their order.

    Args:
        client: of the server that has all of them.
        members: the models.
        videos: taken as places become free.
        options: but for model and version.
        concurrency: files in flight, of all models together; one of each at least.
        display: gets each upload, and each failure.

    Raises:
        CommandFailed: the options or the key are wrong, or the server is gone.
    """
    answers: dict[LabelledVideo, list[Classification]] = {}
    share = max(1, concurrency // len(members))

    def passed(
        member: Member, coming: Iterable[LabelledVideo] | AsyncIterable[LabelledVideo]
    ) -> aclosing[AsyncGenerator[LabelledVideo, None]]:
        asked = pinned(options, member.settings)
        return aclosing(_answered(outcomes_of(client, coming, asked, concurrency=share, display=display), answers))

    first, *others = members
    async with AsyncExitStack() as stack:
        passing = await stack.enter_async_context(passed(first, videos))
        for member in others:
            passing = await stack.enter_async_context(passed(member, passing))
        async for video in passing:
            yield video, tuple(answers.pop(video))


async def _answered(
    outcomes: AsyncGenerator[Outcome[LabelledVideo], None], answers: dict[LabelledVideo, list[Classification]]
) -> AsyncGenerator[LabelledVideo, None]:
    """Keep the answers, and pass on the videos that have one."""
    async with aclosing(outcomes):
        async for outcome in outcomes:
            if outcome.result is None:
                answers.pop(outcome.path, None)
            else:
                answers.setdefault(outcome.path, []).append(outcome.result)
                yield outcome.path


def mean_ranking(answers: Sequence[Classification]) -> tuple[Prediction, ...]:
    """The labels of answers that have all of them, by the mean of their scores, best first.

    Labels of the same score keep their order, as on the server.
    """
    first, *others = answers
    scores = [{item.index: item.score for item in answer.predictions} for answer in others]
    means = [
        Prediction(item.label, item.index, (item.score + sum(each[item.index] for each in scores)) / len(answers))
        for item in first.predictions
    ]
    return tuple(sorted(means, key=lambda item: (-item.score, item.index)))


def _check_agree(members: Sequence[Member]) -> None:
    """Refuse models whose scores have no mean: one named twice, other labels, another kind of scores."""
    for one, other in combinations(members, 2):
        if one.name == other.name:
            raise wrong_use(f"{one.name} is named twice", "name each model once")
        ours, theirs = one.model.label_names, other.model.label_names
        if len(ours) != len(theirs):
            raise wrong_use(f"{one.name} has {len(ours)} labels and {other.name} {len(theirs)}", _SAME_LABELS)
        different = [index for index, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]]
        if different:
            index = different[0]
            more = f", and {len(different) - 1} more differ" if len(different) > 1 else ""
            raise wrong_use(
                f"label {index} is {ours[index]!r} of {one.name} and {theirs[index]!r} of {other.name}{more}",
                _SAME_LABELS,
            )
        if one.model.activation != other.model.activation:
            raise wrong_use(
                f"scores of {one.name} are of {one.model.activation}, those of {other.name} of "
                f"{other.model.activation}, so they have no mean"
            )


_SAME_LABELS = (
    "scores are averaged by the labels' indices, so both need the same labels in the same order: "
    "export them with the same labels file"
)
