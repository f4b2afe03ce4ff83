"""An evaluation as text, JSON and CSV; pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from laps_client.cli.ensemble import Member
from laps_client.cli.result_rows import csv_text
from laps_client.cli.scoring import ManifestAccuracy, Proportion, Report, manifest_accuracies, place_of_accuracy, worst
from laps_client.cli.terminal_text import percent, printable

_LIKE_CHANCE = 3  # times the share of a guess


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A model, or the mean of several, on a list of videos; those that are listed and not scored have failed."""

    members: tuple[Member, ...]
    listed: int
    report: Report

    @property
    def failed(self) -> int:
        """Videos without an answer."""
        return self.listed - self.report.top1.of

    @property
    def labels(self) -> tuple[str, ...]:
        """Of each of the models."""
        return self.members[0].model.label_names

    @property
    def manifest_accuracies(self) -> list[ManifestAccuracy]:
        """What the model's manifest claims; nothing is claimed of the mean of several."""
        return manifest_accuracies(self.members[0].model.metrics) if len(self.members) == 1 else []


def report_text(evaluation: Evaluation, *, worst_most: int) -> str:
    """For people: a fact on each line, then the worst classes and the most frequent confusions."""
    counted = evaluation.report
    measured = (counted.top1, counted.top5)
    lines = [
        *(
            f"model      {member.model.name} {member.model.version}, {member.settings.views} views"
            for member in evaluation.members
        ),
        *([f"scores     the mean of {len(evaluation.members)} models'"] if len(evaluation.members) > 1 else []),
        f"videos     {counted.top1.of} scored of {evaluation.listed} listed",
        _share_line("top-1", counted.top1),
    ]
    if counted.top5 is not None:
        lines.append(_share_line("top-5", counted.top5))
    if evaluation.failed:
        whole = Proportion(counted.top1.right, evaluation.listed)
        lines.append(
            f"failed     {evaluation.failed}, not counted above; as wrong answers: top-1 {percent(whole.value)}"
        )
    for accuracy in evaluation.manifest_accuracies:
        place = place_of_accuracy(accuracy, measured)
        judged = f", {place} the interval measured" if place else ""
        lines.append(f"manifest   {accuracy.where} {percent(accuracy.value)}{judged}")
    untrained = [member.name for member in evaluation.members if member.model.untrained]
    if untrained:
        which = "the model is" if len(evaluation.members) == 1 else f"{untrained[0]} is"
        lines.append(f"note       {which} untrained: its weights are random")
    elif _looks_misnumbered(evaluation):
        lines.append(
            "note       this is near chance: are the list's indices in the order of laps models NAME --labels?"
        )
    if worst_most > 0 and counted.classes:
        lines += ["", "classes right least often"]
        lines += [
            f"  {_name(evaluation, label)}  {percent(share.value)}  {share.right} of {share.of}"
            for label, share in worst(counted.classes, worst_most)
        ]
    if worst_most > 0 and counted.confusions:
        lines += ["", "taken for another most often"]
        lines += [
            f"  {_name(evaluation, truth)} for {_name(evaluation, said)}  {count} of {counted.classes[truth].of}"
            for truth, said, count in counted.confusions[:worst_most]
        ]
    return "\n".join(map(printable, lines)) + "\n"


def report_json(evaluation: Evaluation) -> dict[str, Any]:
    """For programs: everything."""
    counted = evaluation.report
    measured = (counted.top1, counted.top5)
    members = [
        {"name": member.model.name, "version": member.model.version, "views": member.settings.views}
        for member in evaluation.members
    ]
    only = members[0] if len(members) == 1 else None
    return {
        "model": None if only is None else {"name": only["name"], "version": only["version"]},
        "views": None if only is None else only["views"],
        "models": members,
        "listed": evaluation.listed,
        "scored": counted.top1.of,
        "failed": evaluation.failed,
        "top1": counted.top1.to_dict(),
        "top5": None if counted.top5 is None else counted.top5.to_dict(),
        "claims": [
            {"name": accuracy.where, "value": accuracy.value, "against_interval": place_of_accuracy(accuracy, measured)}
            for accuracy in evaluation.manifest_accuracies
        ],
        "classes": [
            {"label": _name(evaluation, label), "index": label, **share.to_dict()}
            for label, share in counted.classes.items()
        ],
        "confusions": [
            {"label": _name(evaluation, truth), "predicted": _name(evaluation, said), "count": count}
            for truth, said, count in counted.confusions
        ],
    }


def classes_csv(evaluation: Evaluation) -> str:
    """A row a class."""
    rows: list[tuple[object, ...]] = [("label", "index", "of", "right", "share", "low", "high")]
    for label, share in evaluation.report.classes.items():
        low, high = share.interval()
        numbers = (f"{share.value:.6f}", f"{low:.6f}", f"{high:.6f}")
        rows.append((_name(evaluation, label), label, share.of, share.right, *numbers))
    return csv_text(rows)


def confusion_csv(evaluation: Evaluation) -> str:
    """The matrix: a row for each true label that occurs, a column for each predicted one."""
    counted = evaluation.report
    counts = {(truth, said): count for truth, said, count in counted.confusions}
    counts |= {(label, label): share.right for label, share in counted.classes.items()}
    columns = range(len(evaluation.labels))
    rows: list[tuple[object, ...]] = [("label", *(_name(evaluation, label) for label in columns))]
    for truth in counted.classes:
        rows.append((_name(evaluation, truth), *(counts.get((truth, said), 0) for said in columns)))
    return csv_text(rows)


def _share_line(name: str, share: Proportion) -> str:
    if not share.of:
        return f"{name}      nothing to tell"
    low, high = share.interval()
    interval = f"95 % interval {percent(low)} to {percent(high)}"
    return f"{name}      {percent(share.value)}, {interval}, {share.right} of {share.of}"


def _looks_misnumbered(evaluation: Evaluation) -> bool:
    top1, labels = evaluation.report.top1, len(evaluation.labels)
    return top1.of > 0 and labels > 2 * _LIKE_CHANCE and top1.interval()[1] < _LIKE_CHANCE / labels


def _name(evaluation: Evaluation, label: int) -> str:
    names = evaluation.labels
    return names[label] if label < len(names) else str(label)
