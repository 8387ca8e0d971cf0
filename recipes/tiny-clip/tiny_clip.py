"""A CLIP of two million weights, trained on renders on a CPU: checks without a download.

    python recipes/tiny-clip/tiny_clip.py --pictures RENDERS --out runs/tiny-clip
    composir models add runs/tiny-clip/checkpoint --name tiny-clip

RENDERS comes from `examples/catalogue/render/render.py --training RENDERS --size 128`; nothing of
the sample catalogue is trained on, its dev part is looked at. The outcome is a checkpoint as
transformers writes it: everything behind it treats it as anybody's CLIP.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captions import ATTRIBUTES, Sentence, partial, whole
from PIL import Image
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import RobertaProcessing
from torch import Tensor
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel

from composir.train.loop import LoopConfig, ParameterGroup, train

CATALOGUE = Path(__file__).resolve().parents[2] / "examples" / "catalogue"
START, END = "<|startoftext|>", "<|endoftext|>"
SIDE, LOADED, TOKENS, VOCABULARY = 96, 112, 32, 1000
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TEXT = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3}
IMAGE = {"hidden_size": 160, "intermediate_size": 640, "num_hidden_layers": 4}
OWN_CAPTION = 0.3
MAX_SCALE = 100.0


def main() -> int:
    """Train, and write the checkpoint."""
    parser = argparse.ArgumentParser(description="Train a small CLIP on renders.")
    parser.add_argument("--pictures", type=Path, required=True, help="data set folder of renders")
    parser.add_argument("--out", type=Path, required=True, help="run folder; a run there goes on")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    pictures, dev = Pictures.of(asked.pictures), Pictures.of(CATALOGUE, "dev")
    torch.manual_seed(asked.seed)
    tokenizer = learnt_tokenizer(pictures.rows, asked.seed)
    task = ContrastTask(new_model(tokenizer), tokenizer, pictures, dev, asked)
    loop = LoopConfig(steps=asked.steps, evaluate_every=100, checkpoint_every=50)
    train(task, loop, asked.out, asked.seed, lambda record: _say(json.dumps(record)))
    save(task.model, tokenizer, asked.out / "checkpoint")
    _say(f"wrote {asked.out / 'checkpoint'}: composir models add it")
    return 0


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures and their labels.

    Attributes:
        rows: Of `gallery.jsonl`.
        pixels: (n, 3, LOADED, LOADED) uint8.
        values: (n, attributes) int64, each label's number.
    """

    rows: Sequence[Mapping[str, Any]]
    pixels: Tensor
    values: Tensor

    @classmethod
    def of(cls, folder: Path, split: str = "") -> Pictures:
        """Read a data set folder, or a part of it."""
        lines = (folder / "gallery.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [row for row in map(json.loads, lines) if row["split"] == split or not split]
        pixels = torch.stack([_pixels(folder / row["file"]) for row in rows])
        values = torch.tensor([[_number(row[name]) for name in ATTRIBUTES] for row in rows])
        return cls(rows, pixels, values)

    def fitting(self, sentences: Sequence[Sentence]) -> Tensor:
        """(n, m) bool, which pictures each sentence is true of."""
        unsaid = -1
        wanted = torch.tensor(
            [[_number(s.says[n]) if n in s.says else unsaid for n in ATTRIBUTES] for s in sentences]
        )
        return ((wanted == unsaid)[None] | (wanted[None] == self.values[:, None])).all(-1)


def _number(value: object) -> int:
    """A label as a number: the same label is the same number."""
    return int.from_bytes(str(value).encode()[:7], "big")


def _pixels(file: Path) -> Tensor:
    with Image.open(file) as image:
        small = image.convert("RGB").resize((LOADED, LOADED), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1)


class ContrastTask:
    """Pictures and sentences told apart (`composir.train.loop.Task`)."""

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        pictures: Pictures,
        dev: Pictures,
        asked: argparse.Namespace,
    ) -> None:
        self.model, self.tokenizer, self.pictures, self.dev = model, tokenizer, pictures, dev
        self.batch, self.rate, self.seed = asked.batch, asked.rate, asked.seed

    def groups(self) -> Sequence[ParameterGroup]:
        """All weights."""
        return [ParameterGroup(tuple(self.model.parameters()), self.rate)]

    def loss(self, step: int) -> Tensor:
        """Contrast of a batch, in which every picture that fits a sentence is right."""
        self.model.train()
        draw = np.random.default_rng((self.seed, step))
        rows = draw.choice(len(self.pictures.rows), self.batch, replace=False)
        chosen = Pictures([], self.pictures.pixels[rows], self.pictures.values[rows])
        said = [self._sentence(int(row), draw) for row in rows]
        images = self.images(_varied(chosen.pixels, draw))
        texts = self.texts([sentence.text for sentence in said])
        scale = self.model.logit_scale.exp().clamp(max=MAX_SCALE)
        return _contrast(scale * images @ texts.T, chosen.fitting(said).float())

    def _sentence(self, row: int, draw: np.random.Generator) -> Sentence:
        labels = self.pictures.rows[row]
        return whole(labels) if draw.random() < OWN_CAPTION else partial(labels, draw)

    def images(self, pixels: Tensor) -> Tensor:
        """Vectors of normalised pixels (n, 3, SIDE, SIDE), unit norm."""
        features = self.model.get_image_features(pixel_values=pixels).pooler_output
        return functional.normalize(features, dim=-1)

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Vectors of texts, unit norm."""
        ids = torch.tensor([encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))])
        features = self.model.get_text_features(input_ids=ids).pooler_output
        return functional.normalize(features, dim=-1)

    def evaluate(self) -> dict[str, float]:
        """Caption to picture, recall (percent) on the catalogue's dev part."""
        self.model.eval()
        with torch.no_grad():
            images = self.images(_plain(self.dev.pixels))
            scores = self.texts([str(row["caption"]) for row in self.dev.rows]) @ images.T
        rank = (scores >= scores.diag()[:, None]).sum(1)
        return {f"dev/recall@{k}": 100.0 * float((rank <= k).float().mean()) for k in (1, 10)}


def _contrast(logits: Tensor, fits: Tensor) -> Tensor:
    """Cross-entropy both ways; whoever fits has an equal share of the target."""
    total = logits.new_zeros(())
    for scores, right in ((logits, fits), (logits.T, fits.T)):
        shares = right / right.sum(1, keepdim=True)
        total = total - (shares * functional.log_softmax(scores, dim=1)).sum(1).mean() / 2
    return total


def _plain(pixels: Tensor) -> Tensor:
    """uint8 (n, 3, LOADED, LOADED) to normalised (n, 3, SIDE, SIDE)."""
    small = functional.interpolate(
        pixels.float(), SIDE, mode="bicubic", antialias=True, align_corners=False
    )
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return (small.clamp(0, 255) / 255 - mean) / std


def _varied(pixels: Tensor, draw: np.random.Generator) -> Tensor:
    """Each picture moved, scaled, mirrored and lit a little differently; hues stay."""
    count = len(pixels)
    zoom = torch.from_numpy(draw.uniform(0.75, 1.05, count)).float()
    mirror = torch.from_numpy(draw.choice((-1.0, 1.0), count)).float()
    room = (1.0 - zoom).clamp(min=0.05)
    shift = torch.from_numpy(draw.uniform(-1, 1, (count, 2))).float() * room[:, None]
    zero = torch.zeros(count)
    across = torch.stack([zoom * mirror, zero, shift[:, 0]], 1)
    down = torch.stack([zero, zoom, shift[:, 1]], 1)
    grid = functional.affine_grid(
        torch.stack([across, down], 1), [count, 3, SIDE, SIDE], align_corners=False
    )
    light = torch.from_numpy(draw.uniform(0.85, 1.15, (count, 1, 1, 1))).float()
    moved = functional.grid_sample(pixels.float(), grid, padding_mode="border", align_corners=False)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return ((moved * light).clamp(0, 255) / 255 - mean) / std


def learnt_tokenizer(rows: Sequence[Mapping[str, Any]], seed: int) -> Tokenizer:
    """Byte-level BPE of CLIP's form, learnt from the captions."""
    draw = np.random.default_rng(seed)
    texts = [whole(row).text for row in rows]
    texts += [partial(row, draw).text for row in rows for _ in range(8)]
    made = Tokenizer(
        models.BPE(unk_token=END, end_of_word_suffix="</w>", continuing_subword_prefix="")
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=sorted(alphabet),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    made.train_from_iterator([*texts, *sorted(alphabet)], trainer)
    made.add_special_tokens([START, END])
    ids = made.get_vocab()
    start, end = ids[START], ids[END]
    made.post_processor = RobertaProcessing((END, end), (START, start), False, False)
    made.enable_padding(pad_id=end, pad_token=END)
    made.enable_truncation(TOKENS)
    return made


def new_model(tokenizer: Tokenizer) -> Any:
    """A CLIP of random weights for a tokeniser."""
    end = tokenizer.token_to_id(END)
    words = {
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": TOKENS,
        "bos_token_id": tokenizer.token_to_id(START),
        "eos_token_id": end,
        "pad_token_id": end,
        "num_attention_heads": 4,
    }
    sight = {"image_size": SIDE, "patch_size": 16, "num_attention_heads": 4}
    return CLIPModel(
        CLIPConfig(
            text_config=TEXT | words,
            vision_config=IMAGE | sight,
            projection_dim=128,
        )
    )


def save(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a checkpoint as hubs keep models."""
    model.eval().save_pretrained(folder)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    frames = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    files = {
        "tokenizer_config.json": {"tokenizer_class": "CLIPTokenizer", **frames},
        "preprocessor_config.json": {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": SIDE},
            "crop_size": {"height": SIDE, "width": SIDE},
            "do_center_crop": True,
            "resample": 3,
            "image_mean": MEAN,
            "image_std": STD,
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    card = "---\nlicense: cc0-1.0\n---\n# tiny-clip\nTrained on renders by recipes/tiny-clip.\n"
    (folder / "README.md").write_text(card, encoding="utf-8")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
