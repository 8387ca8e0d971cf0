"""Small random checkpoints, written by transformers itself, with tokenisers of the real formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.pre_tokenizers import ByteLevel

from tests.foundation.formula import weights
from tests.processors import BLIP, MOBILECLIP2

WORDS = ("a", "photo", "of", "the", "red", "blue", "square", "circle", "cat", "that", "is")
START, END = "<|startoftext|>", "<|endoftext|>"
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
}
IMAGE = {**TEXT, "hidden_size": 24, "image_size": 32, "patch_size": 8}
MOBILECLIP = Path(__file__).with_name("mobileclip.json")
TINY_FASTVIT = "fastvit_tiny"
MOBILECLIP2_PIXELS = {"preprocess_cfg": MOBILECLIP2["preprocess_cfg"]}
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def write_clip(folder: Path, *, old_end: bool = False, **text: Any) -> Path:
    """CLIP with a byte-level vocabulary; `old_end` as configs of before 2023 state it."""
    from transformers import CLIPConfig, CLIPModel

    tokenizer = clip_tokenizer()
    end = tokenizer.token_to_id(END)
    torch.manual_seed(1)
    config = CLIPConfig(
        text_config={
            **TEXT,
            "vocab_size": tokenizer.get_vocab_size(),
            "max_position_embeddings": 20,
            "bos_token_id": tokenizer.token_to_id(START),
            "eos_token_id": 2 if old_end else end,
            "pad_token_id": end,
            **text,
        },
        vision_config=IMAGE,
        projection_dim=16,
    )
    _stirred(CLIPModel(config)).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    frames = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    _json(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", **frames})
    _json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": 32},
            "crop_size": {"height": 32, "width": 32},
            "do_center_crop": True,
            "resample": 3,
            "image_mean": CLIP_MEAN,
            "image_std": CLIP_STD,
        },
    )
    (folder / "README.md").write_text("---\nlicense: mit\ntags:\n- vision\n---\n# A tiny CLIP\n")
    return folder


def write_siglip(folder: Path, *, second: bool = False) -> Path:
    """SigLIP, or SigLIP2 with a vocabulary of Gemma's kind."""
    from transformers import SiglipConfig, SiglipModel

    tokenizer = gemma_tokenizer() if second else unigram_tokenizer()
    torch.manual_seed(2)
    config = SiglipConfig(
        text_config={
            **TEXT,
            "hidden_size": 24,
            "vocab_size": tokenizer.get_vocab_size(),
            "max_position_embeddings": 16,
        },
        vision_config=IMAGE,
    )
    _stirred(SiglipModel(config)).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "Siglip2Tokenizer" if second else "PreTrainedTokenizerFast",
        "eos_token": "<eos>" if second else "</s>",
        "pad_token": "<pad>" if second else "</s>",
        "unk_token": "<unk>",
        "padding_side": "right",
        "model_max_length": 16,
    }
    if second:
        settings |= {"bos_token": "<bos>", "add_bos_token": False, "add_eos_token": True}
    _json(folder / "tokenizer_config.json", settings)
    _json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "SiglipImageProcessor",
            "size": {"height": 32, "width": 32},
            "resample": 2 if second else 3,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    )
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return folder


def write_blip(folder: Path) -> Path:
    """BLIP for retrieval, with the head that matches; BERT's vocabulary."""
    from transformers import BlipConfig, BlipForImageTextRetrieval

    tokenizer = bert_tokenizer()
    torch.manual_seed(4)
    config = BlipConfig(
        text_config={
            **TEXT,
            "num_hidden_layers": 2,
            "vocab_size": tokenizer.get_vocab_size() + 2,  # its decoder's tokens, unknown here
            "max_position_embeddings": 20,
        },
        vision_config=IMAGE,
        image_text_hidden_size=16,
    )
    # Behind a norm after each residual little of the words would reach the first token.
    _stirred(BlipForImageTextRetrieval(config), 0.2).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "pad", "unk", "mask")}
    _json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", **named})
    _json(folder / "preprocessor_config.json", {**BLIP, "size": {"height": 32, "width": 32}})
    (folder / "README.md").write_text("---\nlicense: bsd-3-clause\n---\n")
    return folder


def write_open_clip(folder: Path, **model: Any) -> Path:
    """The same kind of CLIP as open_clip keeps it: its config, its names of weights."""
    from safetensors.torch import save_file
    from transformers import CLIPConfig, CLIPModel

    tokenizer = clip_tokenizer()
    words = {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 20}
    torch.manual_seed(3)
    config = CLIPConfig(
        text_config={**TEXT, **words, "hidden_act": "gelu"},
        vision_config={**IMAGE, "hidden_act": "gelu"},
        projection_dim=16,
    )
    state = _stirred(CLIPModel(config)).state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_as_open_clip(state), folder / "open_clip_model.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    image = {"image_size": 32, "patch_size": 8, "width": 24, "head_width": 6, "layers": 1}
    text = {"context_length": 20, "vocab_size": words["vocab_size"], "width": 32, "heads": 4}
    made = {
        "embed_dim": 16,
        "vision_cfg": {**image, "mlp_ratio": 2.0},
        "text_cfg": {**text, "layers": 1, "mlp_ratio": 1.5},
    }
    preprocess = {"mean": CLIP_MEAN, "std": CLIP_STD, "interpolation": "bicubic"}
    _json(
        folder / "open_clip_config.json",
        {"model_cfg": {**made, **model}, "preprocess_cfg": preprocess},
    )
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


def write_mobileclip(folder: Path, *, form: str = "training") -> Path:
    """A tiny MobileCLIP2 as open_clip keeps it; `form`: with branches, or `fused`."""
    from safetensors.torch import save_file

    shapes = json.loads(MOBILECLIP.read_text())[form]["shapes"]
    state = {name: torch.from_numpy(value) for name, value in weights(shapes).items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "open_clip_model.safetensors")
    tokenizer = clip_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    image = {
        "timm_model_name": TINY_FASTVIT,
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": None,
        "timm_drop": 0.0,
        "timm_drop_path": 0.0,
        "image_size": 64,
    }
    size = tokenizer.get_vocab_size()
    text = {"context_length": 20, "vocab_size": size, "width": 32, "heads": 4, "layers": 2}
    made = {"embed_dim": 16, "vision_cfg": image, "text_cfg": {**text, "no_causal_mask": True}}
    _json(
        folder / "open_clip_config.json",
        {"model_cfg": {**made, "custom_text": True}, **MOBILECLIP2_PIXELS},
    )
    card = "---\nlicense: other\nlicense_name: apple-amlr\n---\n"
    (folder / "README.md").write_text(card)
    return folder


def _as_open_clip(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of transformers' CLIP under the names that open_clip 3 gives them."""
    made = {
        "logit_scale": state["logit_scale"],
        "text_projection": state["text_projection.weight"].T,
        "visual.proj": state["visual_projection.weight"].T,
    }
    renamed = (
        ("text_model.embeddings.token_embedding", "token_embedding"),
        ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
        ("text_model.final_layer_norm", "ln_final"),
        ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
        ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
        ("vision_model.embeddings.patch_embedding", "visual.conv1"),
        ("vision_model.pre_layrnorm", "visual.ln_pre"),
        ("vision_model.post_layernorm", "visual.ln_post"),
    )
    parts = (
        ("self_attn.out_proj", "attn.out_proj"),
        ("layer_norm1", "ln_1"),
        ("layer_norm2", "ln_2"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
    )
    for old, new in renamed:
        made |= {n.replace(old, new): t for n, t in state.items() if n.startswith(old)}
    for tower, place in (("text_model", "transformer"), ("vision_model", "visual.transformer")):
        old, new = f"{tower}.encoder.layers.0.", f"{place}.resblocks.0."
        for kind in ("weight", "bias"):
            rows = [state[f"{old}self_attn.{part}_proj.{kind}"] for part in "qkv"]
            made[f"{new}attn.in_proj_{kind}"] = torch.cat(rows)
            made |= {f"{new}{b}.{kind}": state[f"{old}{a}.{kind}"] for a, b in parts}
    return {name: tensor.contiguous() for name, tensor in made.items()}


WRITERS: Mapping[str, Callable[[Path], Path]] = {
    "blip": write_blip,
    "clip": write_clip,
    "mobileclip": write_mobileclip,
    "open_clip": write_open_clip,
    "siglip": write_siglip,
    "siglip2": lambda folder: write_siglip(folder, second=True),
}


def clip_tokenizer() -> Tokenizer:
    """Byte-level BPE as CLIP's: every byte, every byte that ends a word, merges for some words."""
    alphabet = sorted(ByteLevel.alphabet())
    vocabulary = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            pair = (pieces[0], pieces[1])
            pieces[:2] = ["".join(pair)]
            if pair not in merges:
                merges.append(pair)
            if pieces[0] not in vocabulary:
                vocabulary.append(pieces[0])
    vocabulary += [START, END]
    ids = {token: index for index, token in enumerate(vocabulary)}
    made = Tokenizer(
        models.BPE(
            ids, merges, unk_token=END, end_of_word_suffix="</w>", continuing_subword_prefix=""
        )
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            ByteLevel(add_prefix_space=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.RobertaProcessing(
        (END, ids[END]), (START, ids[START]), trim_offsets=False, add_prefix_space=False
    )
    made.add_special_tokens([START, END])
    return made


def bert_tokenizer() -> Tokenizer:
    """Word pieces as BERT's, which lowers letters; `[CLS]` before a sentence, `[SEP]` behind."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    pieces += [f"##{letter}" for letter in letters] + [word for word in WORDS if len(word) > 1]
    ids = {piece: index for index, piece in enumerate(pieces)}
    made = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(end, ids[end]) for end in ("[CLS]", "[SEP]")]
    )
    made.add_special_tokens(pieces[:5])
    return made


def unigram_tokenizer() -> Tokenizer:
    """Sentence pieces as SigLIP's, which drops punctuation and lowers letters."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), ("▁", -4.0)]
    pieces += [(letter, -6.0) for letter in letters] + [(f"▁{word}", -2.0) for word in WORDS]
    made = Tokenizer(models.Unigram(pieces, unk_id=2))
    made.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[^\w\s]|_"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    made.add_special_tokens(["</s>", "<unk>"])
    return made


def gemma_tokenizer() -> Tokenizer:
    """BPE with spaces as `▁` and bytes to fall back on, as SigLIP2's; letters stay as they are."""
    vocabulary = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    vocabulary += [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary += ["▁", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,"]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for end in range(2, len(word) + 1):
            pair = (word[: end - 1], word[end - 1])
            if pair not in merges:
                merges.append(pair)
            if word[:end] not in vocabulary:
                vocabulary.append(word[:end])
    ids = {token: index for index, token in enumerate(vocabulary)}
    made = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    made.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    made.add_special_tokens(vocabulary[:5])
    return made


def _stirred(model: Any, noise: float = 0.05) -> Any:
    """Norms, biases and scales of a fresh model are ones and zeros: a mix-up would not show."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * noise)
    if hasattr(model, "logit_scale"):
        model.logit_scale.data.fill_(3.0)
    return model.eval()


def _json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content))
