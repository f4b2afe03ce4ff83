"""How files name the weights of this family.

s2.pathway0_res0.branch2.a_bn.weight, s1_fuse.conv_f2s.weight, head.projection.weight                PySlowFast's
blocks.1.multipathway_blocks.0.res_blocks.0.branch2.norm_a.weight, blocks.6.proj.weight              pytorchvideo's
res2_0_branch2a_bn_s, t_pool1_subsample_w, pred_w                                                    Caffe2's
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from laps_export.families.family import CheckpointNames, WeightsKey
from laps_export.families.renaming import renamed, translation

if TYPE_CHECKING:
    from torch import Tensor

_HEAD = ("head.projection.weight", "head.projection.bias")
_STAGES = 4

NAMES = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))(?:s[1-5]|s[1-4]_fuse|head\.projection)(?=\.)"),
    prefix="",
    keys=(WeightsKey("model_state"),),
    head=_HEAD,
)

_FUSIONS = tuple(
    row
    for block in range(_STAGES)
    for row in (
        (rf"blocks\.{block}\.multipathway_fusion\.conv_fast_to_slow\.(.+)", rf"s{block + 1}_fuse.conv_f2s.\1"),
        (rf"blocks\.{block}\.multipathway_fusion\.norm\.(.+)", rf"s{block + 1}_fuse.bn.\1"),
    )
)
_STAGE_NAMES = tuple(
    row
    for block in range(1, 1 + _STAGES)
    for theirs, ours in ((rf"blocks\.{block}\.multipathway_blocks\.(\d)\.res_blocks\.(\d+)\.", rf"s{block + 1}"),)
    for row in (
        (rf"{theirs}branch1_conv\.(.+)", rf"{ours}.pathway\1_res\2.branch1.\3"),
        (rf"{theirs}branch1_norm\.(.+)", rf"{ours}.pathway\1_res\2.branch1_bn.\3"),
        (rf"{theirs}branch2\.conv_([abc])\.(.+)", rf"{ours}.pathway\1_res\2.branch2.\3.\4"),
        (rf"{theirs}branch2\.norm_([abc])\.(.+)", rf"{ours}.pathway\1_res\2.branch2.\3_bn.\4"),
    )
)

PYTORCHVIDEO = CheckpointNames(
    own_part=re.compile(r"(?:^|(?<=\.))blocks(?=\.\d+\.(?:multipathway_|proj\.))"),
    prefix="",
    keys=(WeightsKey("model_state"),),
    head=_HEAD,
    translate=translation(
        (
            (r"blocks\.0\.multipathway_blocks\.(\d)\.conv\.(.+)", r"s1.pathway\1_stem.conv.\2"),
            (r"blocks\.0\.multipathway_blocks\.(\d)\.norm\.(.+)", r"s1.pathway\1_stem.bn.\2"),
            (r"blocks\.6\.proj\.(\w+)", r"head.projection.\1"),
            *_FUSIONS,
            *_STAGE_NAMES,
        )
    ),
)

_BATCH_NORM = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
"""The last is the variance in these files, whatever its name says."""


def _caffe2_rows() -> Iterator[tuple[str, str]]:
    for begin, pathway in (("", 0), ("t_", 1)):
        branch, block = rf"{begin}res(\d)_(\d+)_branch", rf"s\1.pathway{pathway}_res\2."
        yield f"{begin}conv1_w", f"s1.pathway{pathway}_stem.conv.weight"
        yield f"{branch}1_w", f"{block}branch1.weight"
        yield f"{branch}2([abc])_w", rf"{block}branch2.\3.weight"
        for theirs, ours in _BATCH_NORM.items():
            yield f"{begin}res_conv1_bn_{theirs}", f"s1.pathway{pathway}_stem.bn.{ours}"
            yield f"{branch}1_bn_{theirs}", f"{block}branch1_bn.{ours}"
            yield f"{branch}2([abc])_bn_{theirs}", rf"{block}branch2.\3_bn.{ours}"
    fusions = (("t_pool1_subsample", "s1_fuse"), (r"t_res(\d)_\d+_branch2c_bn_subsample", r"s\1_fuse"))
    for theirs, ours in fusions:
        yield f"{theirs}_w", f"{ours}.conv_f2s.weight"
        yield from ((f"{theirs}_bn_{code}", f"{ours}.bn.{own}") for code, own in _BATCH_NORM.items())
    theirs, ours = r"nonlocal_conv(\d)_(\d+)_", r"s\1.pathway0_nonlocal\2."
    yield from ((f"{theirs}bn_{code}", f"{ours}bn.{own}") for code, own in _BATCH_NORM.items())
    for code, own in (("w", "weight"), ("b", "bias")):
        yield f"{theirs}(theta|phi|g|out)_{code}", rf"{ours}conv_\3.{own}"
        yield f"pred_{code}", f"head.projection.{own}"


_CAFFE2_ROWS = tuple(_caffe2_rows())
_CONVOLUTION_AXES = 5


def _from_caffe2(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Its names, and the trailing axes of length 1 that some kernels lack."""
    own = renamed(state, _CAFFE2_ROWS)
    return {
        name: value.reshape(*value.shape, *(1,) * (_CONVOLUTION_AXES - value.dim()))
        if name not in _HEAD and value.dim() > 1
        else value
        for name, value in own.items()
    }


CAFFE2 = CheckpointNames(
    own_part=re.compile(r"^(?:t_)?(?:(?:res_)?conv1_|pool1_subsample_|res\d_\d+_branch|nonlocal_conv\d|pred_)"),
    prefix="",
    keys=(WeightsKey("blobs"),),
    head=_HEAD,
    unused=re.compile(r".*(?:momentum|lr|model_iter).*"),
    translate=_from_caffe2,
)
