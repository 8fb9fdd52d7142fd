"""The flow network in three parts, so that a CPU may go another road in the middle one: matching, step, gate.

The middle one, the polishing step's least squares, is many small operations on the pictures themselves, which a
compiled loop does in a quarter of the time (``native/polish.c``). Run one after the other, the parts are the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flowgimbal.engines.shapes import FEATURES, MATCHED, STEPPED

if TYPE_CHECKING:
    from onnx import ModelProto

GATED = "polish.body.0.weight"  # the convolution that sees both


def parts(network: bytes) -> dict[str, bytes]:
    """``network``, the flow network as ONNX in whatever precision, taken apart: match, step, gate.

    ``match`` gives the matched flow and the log of its scale, what is hidden of them, and the features to keep;
    ``step`` takes the kept picture and the new one, flow and log of scale; ``gate`` what both of them gave.
    """
    import onnx
    from onnx.utils import Extractor

    whole = onnx.shape_inference.infer_shapes(onnx.load_from_string(network))
    source = {output: node for node in whole.graph.node for output in node.output}
    seen = next(node for node in whole.graph.node if node.op_type == "Conv" and node.input[1].startswith(GATED))
    while seen.op_type != "Concat":  # it may be put into bytes and back
        seen = source[seen.input[0]]
    hidden, change, step, log_tell, log_scale = seen.input
    (tell,) = source[log_tell].input  # its logarithm is left to the gate
    matched = source[change].input[1]
    names = dict(zip((matched, log_scale, hidden, change, step, tell), (*MATCHED, "hidden", *STEPPED), strict=True))
    features = [f"new_{name}" for name in FEATURES]
    extractor = Extractor(whole)

    def part(inputs: list[str], outputs: list[str], **same: str) -> bytes:
        extracted: bytes = renamed(extractor.extract_model(inputs, outputs), names | same).SerializeToString()
        return extracted

    before, now = FEATURES[0], features[0]
    return {
        "match": part(["luma", *FEATURES], [matched, log_scale, hidden, *features]),
        "step": part([before, now, matched, log_scale], [change, step, tell], luma=before),  # it is asked for its size
        "gate": part([matched, log_scale, hidden, change, step, tell], ["flow", "log_scale"]),
    }


def renamed(model: ModelProto, names: Mapping[str, str]) -> ModelProto:
    """``model`` with other names for some of its tensors."""
    graph: Any = model.graph
    for node in graph.node:
        for tensors in (node.input, node.output):
            for place, name in enumerate(tensors):
                tensors[place] = names.get(name, name)
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    return model
