from __future__ import annotations

from laps_export.data.camera_motion import LABEL_SET, LABELS, CameraMotion
from laps_export.repository.label_set import load_labels

SPELLED = (
    "static",
    "pan left",
    "pan right",
    "tilt up",
    "tilt down",
    "zoom in",
    "zoom out",
    "roll clockwise",
    "roll counterclockwise",
    "handheld shake",
)


def test_labels_are_spelled_and_ordered_as_published() -> None:
    assert LABELS == SPELLED


def test_the_shipped_label_set_says_the_same() -> None:
    assert load_labels(LABEL_SET).labels == LABELS


def test_values_are_output_indices() -> None:
    assert [int(motion) for motion in CameraMotion] == list(range(10))
