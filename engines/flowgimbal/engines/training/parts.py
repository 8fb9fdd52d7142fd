"""The flow network taken apart: its convolutions as ONNX, what is between them left to compiled code.

Between convolutions it compares maps, warps them and solves small systems: many operations on little, which compiled
loops do in a fraction of the time (``native/compare.c``, ``native/polish.c``). ``onnx_flow.py`` puts the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flowgimbal.engines.shapes import FEATURES, LEVELS, POLISHED, SHARPNESS

if TYPE_CHECKING:
    from onnx import ModelProto


def parts(network: bytes) -> dict[str, bytes]:
    """``network``, the flow network as ONNX in whatever precision: its parts by name.

    ``encode`` gives the features of ``luma``. Each of LEVELS takes ``seen``, what its convolutions look at, and gives
    their ``head`` (update of the flow, log of its scale) and what is ``hidden``; in its file's metadata is the
    SHARPNESS of its best match. ``gate`` takes POLISHED and gives flow and log of scale.
    """
    import onnx
    from onnx.utils import Extractor

    whole = onnx.shape_inference.infer_shapes(onnx.load_from_string(network))
    source = {output: node for node in whole.graph.node for output in node.output}
    numbers = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in whole.graph.initializer}
    extractor = Extractor(whole)

    def convolution(weights: str) -> Any:
        return next(node for node in whole.graph.node if node.op_type == "Conv" and node.input[1].startswith(weights))

    def joined(node: Any) -> Any:
        while node.op_type != "Concat":  # it may be put into bytes and back
            node = source[node.input[0]]
        return node

    def part(inputs: Mapping[str, str], outputs: Mapping[str, str]) -> ModelProto:
        return _renamed(extractor.extract_model(list(inputs), list(outputs)), {**inputs, **outputs})

    features = [f"new_{name}" for name in FEATURES]
    made = {"encode": part({"luma": "luma"}, {name: name for name in features})}
    for level in LEVELS:
        head = convolution(f"{level}.head.")
        seen = joined(convolution(f"{level}.body.0."))
        made[level] = part({seen.output[0]: "seen"}, {head.output[0]: "head", head.input[0]: "hidden"})
        sharpness = float(numbers[f"{level}.sharpness"])
        onnx.helper.set_model_props(made[level], {SHARPNESS: repr(sharpness)})
    hidden, change, step, log_tell, log_scale = joined(convolution("polish.body.0.")).input
    (tell,) = source[log_tell].input  # its logarithm is left to the gate
    matched = source[change].input[1]
    seams = dict(zip((matched, log_scale, hidden, change, step, tell), POLISHED, strict=True))
    made["gate"] = part(seams, {name: name for name in ("flow", "log_scale")})
    return {name: model.SerializeToString() for name, model in made.items()}


def _renamed(model: ModelProto, names: Mapping[str, str]) -> ModelProto:
    """``model`` with other names for some of its tensors."""
    graph: Any = model.graph
    for node in graph.node:
        for tensors in (node.input, node.output):
            for place, name in enumerate(tensors):
                tensors[place] = names.get(name, name)
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    return model
