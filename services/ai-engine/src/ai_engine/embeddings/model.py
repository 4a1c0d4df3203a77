"""The sentence encoder: all-MiniLM-L6-v2 on ONNX Runtime; loaded once by the service, used by embeddings.service.

Idle memory decides the settings: the weights lie outside the protobuf and are mapped, not copied; there is one thread;
micro-batches of at most BATCH_TOKENS keep the arena of intermediate results below 70 MB.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

BATCH_TOKENS = 1024
"""Tokens, padding included, that go through the network at once: 4 long texts or 60 short ones."""

Vectors = NDArray[np.float32]


class SentenceEncoder:
    """Blocking and thread-safe; `encode` takes about 40 ms for a text of 256 tokens and 4 ms for a sentence."""

    def __init__(self, model_dir: Path) -> None:
        """Load the files that services/ai-engine/model/build_onnx.py writes. Raises OSError when they are absent."""
        described = json.loads((model_dir / "model.json").read_text())
        self.name: str = described["name"]
        self.dimensions: int = described["dimensions"]
        self._tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
        self._tokenizer.enable_truncation(max_length=described["max_tokens"])
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Unpacked, the weights stay in the mapped file, which all replicas of a machine share: 40 MB less for each.
        options.add_session_config_entry("session.disable_prepacking", "1")
        self._session = onnxruntime.InferenceSession(
            str(model_dir / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[texts, dimensions] float32, each row of length 1; a text beyond the model's token limit is cut."""
        encodings = self._tokenizer.encode_batch(list(texts))
        vectors = np.empty((len(encodings), self.dimensions), dtype=np.float32)
        for batch in micro_batches([len(encoding.ids) for encoding in encodings]):
            vectors[batch] = self._run([encodings[index] for index in batch])
        return vectors

    def _run(self, encodings: list[Encoding]) -> Vectors:
        tokens = max(len(encoding.ids) for encoding in encodings)
        ids = np.zeros((len(encodings), tokens), dtype=np.int64)  # 0 is the id of padding
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        result: Vectors = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return result


def micro_batches(lengths: Sequence[int], batch_tokens: int = BATCH_TOKENS) -> list[list[int]]:
    """Indices grouped by similar length, so that little is padding; at most `batch_tokens` in a group, or one text."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batches and (len(batches[-1]) + 1) * lengths[index] <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
