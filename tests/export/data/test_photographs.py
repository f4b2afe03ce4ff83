from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from laps_export.data import photographs
from laps_export.data.photographs import Split, find_photographs, look, split_of
from laps_export.data.sources import SOURCES, PhotographSource
from laps_export.data.textures import leaves
from laps_export.errors import DataError


def _paint(path: Path, seed: int, scale: float = 1.0) -> None:
    picture = leaves(np.random.default_rng(seed), size=400)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


@pytest.fixture
def painted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with forty pictures of one made-up package."""
    monkeypatch.setattr(photographs, "SOURCES", (PhotographSource("made-up", ("pictures/*.png",)),))
    for seed in range(40):
        _paint(tmp_path / "pictures" / f"{seed:02d}.png", seed)
    return tmp_path


def test_no_photograph_is_in_two_splits(painted: Path) -> None:
    collection = find_photographs(debian_root=painted)
    hashes = {split: {photo.sha256 for photo in collection.of(split)} for split in Split}
    assert sum(map(len, hashes.values())) == 40
    for one, other in combinations(hashes.values(), 2):
        assert not one & other


def test_installed_photographs_are_split_and_do_not_look_alike() -> None:
    collection = find_photographs()
    assert all(collection.of(split) for split in Split)
    looks = [look(photo.path) for photo in collection.photographs]
    assert min(int((one ^ other).sum()) for one, other in combinations(looks, 2)) > 40


def test_a_photograph_keeps_its_split_whatever_else_is_there(painted: Path) -> None:
    before = {photo.sha256: photo.split for photo in find_photographs(debian_root=painted).photographs}
    for seed in range(0, 20, 2):
        (painted / "pictures" / f"{seed:02d}.png").unlink()
    after = find_photographs(debian_root=painted).photographs
    assert len(after) == 30
    assert all(before[photo.sha256] is photo.split for photo in after)


def test_a_smaller_copy_counts_as_the_same_photograph(painted: Path) -> None:
    _paint(painted / "pictures" / "99-small.png", 7, scale=0.4)
    shutil.copy(painted / "pictures" / "08.png", painted / "pictures" / "99-again.png")
    assert len(find_photographs(debian_root=painted).photographs) == 40


def test_the_collection_is_known_by_its_hash(painted: Path) -> None:
    first = find_photographs(debian_root=painted).sha256
    assert find_photographs(debian_root=painted).sha256 == first
    (painted / "pictures" / "05.png").unlink()
    assert find_photographs(debian_root=painted).sha256 != first


def test_shares_are_about_those_wanted() -> None:
    splits = [split_of(f"{number:064x}") for number in range(3000)]
    shares = {split: splits.count(split) / len(splits) for split in Split}
    assert shares[Split.TRAIN] == pytest.approx(0.62, abs=0.03)
    assert shares[Split.VAL] == pytest.approx(0.14, abs=0.03)


def test_no_photographs_is_an_error_that_names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "SOURCES", (PhotographSource("made-up", ("pictures/*.png",)),))
    with pytest.raises(DataError) as caught:
        find_photographs(debian_root=tmp_path)
    assert caught.value.code == "no_photographs"
    assert "made-up" in caught.value.hint


def test_a_file_that_is_no_picture_is_an_error(painted: Path) -> None:
    (painted / "pictures" / "99.png").write_bytes(b"no picture")
    with pytest.raises(DataError) as caught:
        find_photographs(debian_root=painted)
    assert caught.value.code == "unreadable_photograph"


def test_packages_kept_for_independent_evaluation_are_no_source() -> None:
    assert not [source for source in SOURCES if "lomiri" in source.package or "ukui" in source.package]
