"""Small random joint encoders, written by transformers itself, with tokenisers made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = "a red bicycle in front of a white wall green blue find this task search result query : |"
GEMMA_MARKS = {
    "image_token": "<|image|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "audio_token": "<|audio|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
}
QWEN_MARKS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")
QWEN_PADS = ("<|image_pad|>", "<|video_pad|>")
QWEN_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }} {% for c in m.content %}"
    "{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}"
    "{% endif %}{% endfor %}<|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)


def write_gemma(folder: Path, **pooling: Any) -> Path:
    """EmbeddingGemma 2, its pooling as sentence-transformers writes it where any is given."""
    from transformers import EmbeddingGemma2Config, EmbeddingGemma2Model
    from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", *GEMMA_MARKS.values(), "<|video|>"]
    tokenizer = _tokenizer(folder, tokens, extra_special_tokens=GEMMA_MARKS)
    ids = {name: tokenizer.convert_tokens_to_ids(mark) for name, mark in GEMMA_MARKS.items()}
    torch.manual_seed(3)
    config = EmbeddingGemma2Config(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "global_head_dim": 8,
            "hidden_size_per_layer_input": 8,
            "embedding_dim": 12,
            "sliding_window_pattern": 2,
        },
        vision_config={
            "model_type": "gemma4_vision",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "patch_size": 4,
            "pooling_kernel_size": 2,
            "position_embedding_size": 64,
        },
        audio_config=None,
        image_token_id=ids["image_token"],
        boi_token_id=ids["boi_token"],
        eoi_token_id=ids["eoi_token"],
        audio_token_id=ids["audio_token"],
        boa_token_id=ids["boa_token"],
        eoa_token_index=ids["eoa_token"],
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
    )
    _stirred(EmbeddingGemma2Model(config)).save_pretrained(folder)
    images = Gemma4ImageProcessorPil(patch_size=4, max_soft_tokens=70, pooling_kernel_size=2)
    # As processors are saved whole; Qwen's lies in a file of its own below.
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": images.to_dict()}))
    _for_sentence_transformers(folder, pooling, {"query": "task : search result | query : "})
    return folder


def write_qwen(folder: Path, **pooling: Any) -> Path:
    """Qwen3-VL, with a template of conversations."""
    from transformers import Qwen3VLConfig, Qwen3VLModel
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", *QWEN_MARKS, *QWEN_PADS]
    tokenizer = _tokenizer(folder, tokens, chat_template=QWEN_TEMPLATE)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in tokens}
    torch.manual_seed(4)
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "rope_scaling": {"rope_type": "default", "mrope_section": [2, 1, 1]},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 16,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    _stirred(Qwen3VLModel(config)).save_pretrained(folder)
    Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, temporal_patch_size=2, min_pixels=64, max_pixels=32 * 32
    ).save_pretrained(folder)
    _for_sentence_transformers(folder, pooling, {})
    return folder


def _tokenizer(folder: Path, tokens: list[str], **more: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {
        word: place for place, word in enumerate(dict.fromkeys([*tokens, *WORDS.split()]))
    }
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 2), ("<eos>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        additional_special_tokens=tokens[4:],
        **more,
    )
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A tiny joint encoder\n")
    return tokenizer


def _for_sentence_transformers(
    folder: Path, pooling: dict[str, Any], prompts: dict[str, str]
) -> None:
    if not pooling:
        return
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [
        {"idx": i, "type": f"sentence_transformers.x.{kind}"} for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    config = folder / "config_sentence_transformers.json"
    config.write_text(json.dumps({"prompts": prompts}))


def _stirred(model: Any) -> Any:
    """Weights far from nothing, so that every input shows in the vector."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model
