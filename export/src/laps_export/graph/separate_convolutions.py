"""Convolutions whose channels are split, as one convolution a part.

Queries, keys and values of attention come out of one convolution and are split then. Engines keep the channels of a
pixel together, so that such a split copies every pixel: OpenVINO took a sixth of a LAPS view in bfloat16 on it, and a
fifth of a camera-motion view. Convolutions of the parts give the same numbers without the copy.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper


def separate_convolutions(proto: ModelProto) -> None:
    """Rewrite, in place, each convolution that only a split of its channels reads; others are left as they are."""
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    makers = {output: node for node in proto.graph.node for output in node.output}
    readers = Counter(name for node in proto.graph.node for name in node.input)
    readers.update(output.name for output in proto.graph.output)
    nodes: list[NodeProto] = []
    dropped: list[str] = []
    for node in proto.graph.node:
        convolution = makers.get(node.input[0]) if node.op_type == "Split" and len(node.input) > 1 else None
        if convolution is None or not _parts_are_convolutions(node, convolution, tensors, readers):
            nodes.append(node)
            continue
        dropped.append(convolution.output[0])
        sizes = numpy_helper.to_array(tensors[node.input[1]])
        own = [_cut(tensors[name], sizes) for name in convolution.input[1:]]  # weight, and bias where there is one
        for place, output in enumerate(node.output):
            part = NodeProto()
            part.CopyFrom(convolution)
            part.name, part.output[0] = f"{convolution.name}_{place}", output
            part.input[1:] = [pieces[place].name for pieces in own]
            nodes.append(part)
        proto.graph.initializer.extend(piece for pieces in own for piece in pieces)
    nodes = [node for node in nodes if node.output[0] not in dropped]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    _forget_unread(proto, set(dropped))


def _parts_are_convolutions(
    split: NodeProto, convolution: NodeProto, tensors: dict[str, TensorProto], readers: Counter[str]
) -> bool:
    """Whether the split's parts can be computed apart: of a convolution that nothing else reads, along its channels."""
    facts = {item.name: helper.get_attribute_value(item) for item in convolution.attribute}
    axis = next((item.i for item in split.attribute if item.name == "axis"), 0)
    return (
        convolution.op_type == "Conv"
        and facts.get("group", 1) == 1
        and axis == 1
        and readers[convolution.output[0]] == 1
        and all(name in tensors for name in (split.input[1], *convolution.input[1:]))
    )


def _cut(tensor: TensorProto, sizes: npt.NDArray[np.int64]) -> list[TensorProto]:
    """A weight or a bias by output channels, which are its first axis."""
    pieces = np.split(numpy_helper.to_array(tensor), np.cumsum(sizes)[:-1])
    return [
        numpy_helper.from_array(np.ascontiguousarray(piece), f"{tensor.name}_{place}")
        for place, piece in enumerate(pieces)
    ]


def _forget_unread(proto: ModelProto, values: set[str]) -> None:
    """Drop the tensors that no node reads any more, and what is said of values that are gone."""
    read = {name for node in proto.graph.node for name in node.input}
    tensors = [tensor for tensor in proto.graph.initializer if tensor.name in read]
    infos = [info for info in proto.graph.value_info if info.name not in values]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(tensors)
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(infos)
