"""A training's output: an uncompressed tar with a valid safetensors file of random values, made while it is read.

The values follow from the training's id, so every download and every restart yields the same bytes.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lifemask.sandbox.training import Training

_HIDDEN = 3072  # FLUX.1's width
_SINGLE = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp", "proj_out")
_DOUBLE = ("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "ff.net.0.proj", "ff.net.2")
_LAYERS = tuple(f"transformer.single_transformer_blocks.{block}.{part}" for block in range(38) for part in _SINGLE) + (
    tuple(f"transformer.transformer_blocks.{block}.{part}" for block in range(19) for part in _DOUBLE)
)
_BYTES_PER_VALUE = 2  # bfloat16
_CHUNK_VALUES = 1 << 19
_RANDOM_BITS = np.uint16(0x81FF)  # sign, the two lowest bits of the exponent, mantissa
_SMALL = np.uint16(116 << 7)  # the exponent's other bits: 2**-11 and three doublings
_TAR_BLOCK = 512
_END = bytes(2 * _TAR_BLOCK)
_FOLDER = "output/flux_train_replicate"
_WEIGHTS = f"{_FOLDER}/lora.safetensors"


@dataclass(frozen=True, slots=True)
class Weights:
    """Shape of one safetensors file: `header` with its length in front, then `values` bfloat16 values."""

    seed: str
    header: bytes
    values: int

    @property
    def size(self) -> int:
        return len(self.header) + self.values * _BYTES_PER_VALUE

    def chunks(self) -> Iterator[bytes]:
        yield self.header
        yield from _random_values(self.seed, self.values)


def make_weights(seed: str, rank: int, size: int) -> Weights:
    """LoRA pairs of `rank` for as many of FLUX's layers as fit into `size` bytes; wider ones when all fit."""
    pair = 2 * rank * _HIDDEN * _BYTES_PER_VALUE
    layers = min(max(size // pair, 1), len(_LAYERS))
    hidden = _HIDDEN if pair <= size < pair * len(_LAYERS) else max(size // (layers * 2 * rank * _BYTES_PER_VALUE), 1)
    tensors: dict[str, object] = {"__metadata__": {"format": "pt", "training": seed}}
    offset = 0
    for layer in _LAYERS[:layers]:
        for side, shape in (("lora_A", [rank, hidden]), ("lora_B", [hidden, rank])):
            end = offset + rank * hidden * _BYTES_PER_VALUE
            tensors[f"{layer}.{side}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
            offset = end
    text = json.dumps(tensors, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return Weights(seed, len(text).to_bytes(8, "little") + text, offset // _BYTES_PER_VALUE)


def _random_values(seed: str, count: int) -> Iterator[bytes]:
    """bfloat16 values between 2**-11 and 2**-7 in size, as a trained LoRA has; never infinite, never NaN."""
    generator = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()))
    while count:
        raw = generator.integers(0, 1 << 16, size=min(count, _CHUNK_VALUES), dtype=np.uint16)
        yield ((raw & _RANDOM_BITS) | _SMALL).astype("<u2").tobytes()
        count -= len(raw)


@dataclass(frozen=True, slots=True)
class OutputTar:
    """The tar a training leaves: its configuration, its weights, one caption per image."""

    training: Training
    weights: Weights

    @property
    def size(self) -> int:
        members = [(name, len(text)) for name, text in self._texts()] + [(_WEIGHTS, self.weights.size)]
        return sum(len(self._header(*member)) + member[1] + -member[1] % _TAR_BLOCK for member in members) + len(_END)

    def chunks(self) -> Iterator[bytes]:
        config, *captions = self._texts()
        yield self._header(config[0], len(config[1])) + _padded(config[1])
        yield self._header(_WEIGHTS, self.weights.size)
        yield from self.weights.chunks()
        yield bytes(-self.weights.size % _TAR_BLOCK)
        for name, text in captions:
            yield self._header(name, len(text)) + _padded(text)
        yield _END

    def _header(self, name: str, size: int) -> bytes:
        info = tarfile.TarInfo(name)
        info.size = size
        info.mtime = int(self.training.created_at)
        return info.tobuf(tarfile.GNU_FORMAT)

    def _texts(self) -> list[tuple[str, bytes]]:
        training = self.training
        config = (
            f"job: extension\nconfig:\n  name: flux_train_replicate\n  process:\n  - type: custom_sd_trainer\n"
            f"    trigger_word: {json.dumps(training.trigger_word)}\n    network:\n      type: lora\n"
            f"      linear: {training.rank}\n      linear_alpha: {training.rank}\n    train:\n"
            f"      steps: {training.steps}\n      lr: {training.input.get('learning_rate', 4e-4)}\n"
        )
        captions = training.archive.captions if training.archive else {}
        return [(f"{_FOLDER}/config.yaml", config.encode())] + [
            (f"{_FOLDER}/captions/{stem}.txt", (text or f"a photo of {training.trigger_word}").encode())
            for stem, text in captions.items()
        ]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _TAR_BLOCK)
