"""Where the hub has what open_clip calls `ARCHITECTURE/TAG`: data alone.

Of open_clip's own table those whose towers composir reads, and which the hub keeps with
`open_clip_config.json` beside their weights.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "open_clip:"
REPOSITORIES: Mapping[str, str] = {
    "MobileCLIP2-S0/dfndr2b": "timm/MobileCLIP2-S0-OpenCLIP",
    "MobileCLIP2-S2/dfndr2b": "timm/MobileCLIP2-S2-OpenCLIP",
    "MobileCLIP2-S3/dfndr2b": "timm/MobileCLIP2-S3-OpenCLIP",
    "MobileCLIP2-S4/dfndr2b": "timm/MobileCLIP2-S4-OpenCLIP",
    "MobileCLIP-S1/datacompdr": "apple/MobileCLIP-S1-OpenCLIP",
    "MobileCLIP-S2/datacompdr": "apple/MobileCLIP-S2-OpenCLIP",
    "ViT-B-32/openai": "timm/vit_base_patch32_clip_224.openai",
    "ViT-B-32/laion2b_s34b_b79k": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "ViT-B-32/datacomp_xl_s13b_b90k": "laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K",
    "ViT-B-32/metaclip_fullcc": "timm/vit_base_patch32_clip_224.metaclip_2pt5b",
    "ViT-B-32-256/datacomp_s34b_b86k": "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
    "ViT-B-16/openai": "timm/vit_base_patch16_clip_224.openai",
    "ViT-B-16/laion2b_s34b_b88k": "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
    "ViT-B-16/datacomp_xl_s13b_b90k": "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K",
    "ViT-B-16/dfn2b": "apple/DFN2B-CLIP-ViT-B-16",
    "ViT-B-16/metaclip_fullcc": "timm/vit_base_patch16_clip_224.metaclip_2pt5b",
    "ViT-L-14/openai": "timm/vit_large_patch14_clip_224.openai",
    "ViT-L-14/laion2b_s32b_b82k": "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    "ViT-L-14/datacomp_xl_s13b_b90k": "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
    "ViT-L-14/dfn2b": "apple/DFN2B-CLIP-ViT-L-14",
    "ViT-L-14/metaclip_fullcc": "timm/vit_large_patch14_clip_224.metaclip_2pt5b",
    "ViT-L-14-336/openai": "timm/vit_large_patch14_clip_336.openai",
    "ViT-H-14/laion2b_s32b_b79k": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    "ViT-H-14/dfn5b": "apple/DFN5B-CLIP-ViT-H-14",
    "ViT-bigG-14/laion2b_s39b_b160k": "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
}
