"""What well-known checkpoints say about their preprocessing, in their own files' words."""

from __future__ import annotations

from typing import Any

OPENAI_MEAN = [0.48145466, 0.4578275, 0.40821073]
OPENAI_STD = [0.26862954, 0.26130258, 0.27577711]

# openai/clip-vit-base-patch32
CLIP: dict[str, Any] = {
    "crop_size": 224,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": OPENAI_MEAN,
    "image_std": OPENAI_STD,
    "resample": 3,
    "size": 224,
}

# google/siglip-base-patch16-224
SIGLIP: dict[str, Any] = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "SiglipProcessor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 224, "width": 224},
}

# google/siglip2-base-patch16-224: bilinear
SIGLIP2: dict[str, Any] = SIGLIP | {"do_convert_rgb": None, "resample": 2}

# Salesforce/blip-itm-base-coco
BLIP: dict[str, Any] = {
    "do_normalize": True,
    "do_resize": True,
    "image_mean": OPENAI_MEAN,
    "image_processor_type": "BlipImageProcessor",
    "image_std": OPENAI_STD,
    "processor_class": "BlipProcessor",
    "size": {"height": 384, "width": 384},
}

# MobileCLIP2-S2 of open_clip, open_clip_config.json without what is not about pixels
MOBILECLIP2: dict[str, Any] = {
    "model_cfg": {"embed_dim": 512, "vision_cfg": {"image_size": 256}},
    "preprocess_cfg": {
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
        "interpolation": "bilinear",
        "resize_mode": "shortest",
    },
}
