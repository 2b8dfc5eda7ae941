"""Write networks.json, the curated networks: `python -m advisor_timm.make_table [--again]` (needs torch and timm).

What is in the table stays unless --again, so that a stopped run is continued.

Facts come from timm and from building each network; published accuracies are the literals below, each with its source.
Run it again with a newer timm, look at the difference, and commit both. Nothing is fetched.
Sources: [timm] results/results-imagenet.csv of huggingface/pytorch-image-models @0173a13, and for MobileNetV4 and the
"sbb" transformers its README, at the network's test size; [dinov2], [dino] the READMEs of facebookresearch/dinov2
@04b9100 and /dino @00e1bcc (linear evaluation; nearest neighbours in brackets); [clip] linear probes of Radford et al.
2021, arXiv:2103.00020, table 10; [openclip] zero-shot, docs/openclip_results.csv of mlfoundations/open_clip @0a1cc15;
[mae] He et al. 2021, arXiv:2111.06377, table 9; [tinyvit] Wu et al. 2022, arXiv:2207.10666; [fastvit] Vasu et al. 2023,
arXiv:2303.14189. Where nothing is published for frozen features, nothing is stated.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("networks.json")

# Networks with a classifier: ImageNet top-1 in percent. [timm], except where a source is named.
SUPERVISED: dict[str, tuple[float | None, str]] = {
    "resnet18.a1_in1k": (73.158, "2110.00476"),
    "resnet34.a1_in1k": (77.918, "2110.00476"),
    "resnet50.a1_in1k": (81.214, "2110.00476"),
    "resnet50d.ra2_in1k": (81.356, "1812.01187"),
    "resnet50.fb_swsl_ig1b_ft_in1k": (81.182, "1905.00546"),
    "regnety_004.tv2_in1k": (75.598, "2003.13678"),
    "regnety_016.tv2_in1k": (80.668, "2003.13678"),
    "regnety_032.ra_in1k": (82.728, "2003.13678"),
    "regnety_160.sw_in12k_ft_in1k": (85.986, "2003.13678"),
    "mobilenetv3_large_100.miil_in21k_ft_in1k": (77.918, "2104.10972"),
    "mobilenetv4_conv_small.e2400_r224_in1k": (74.616, "2404.10518"),
    "mobilenetv4_conv_medium.e500_r224_in1k": (79.808, "2404.10518"),
    "mobilenetv4_hybrid_medium.e500_r224_in1k": (80.442, "2404.10518"),
    "efficientnet_b0.ra_in1k": (77.694, "1905.11946"),
    "tf_efficientnet_b0.ns_jft_in1k": (78.670, "1911.04252"),
    "tf_efficientnetv2_b0.in1k": (78.358, "2104.00298"),
    "tf_efficientnetv2_b3.in21k_ft_in1k": (82.670, "2104.00298"),
    "tf_efficientnetv2_s.in21k_ft_in1k": (84.288, "2104.00298"),
    "convnext_atto.d2_in1k": (77.008, "2201.03545"),
    "convnext_pico.d1_in1k": (80.414, "2201.03545"),
    "convnext_nano.in12k_ft_in1k": (82.862, "2201.03545"),
    "convnext_tiny.in12k_ft_in1k": (84.450, "2201.03545"),
    "convnext_small.in12k_ft_in1k": (85.330, "2201.03545"),
    "convnext_base.fb_in22k_ft_in1k": (86.274, "2201.03545"),
    "convnextv2_atto.fcmae_ft_in1k": (77.760, "2301.00808"),
    "convnextv2_pico.fcmae_ft_in1k": (81.086, "2301.00808"),
    "convnextv2_nano.fcmae_ft_in22k_in1k": (82.664, "2301.00808"),
    "convnextv2_tiny.fcmae_ft_in22k_in1k": (84.416, "2301.00808"),
    "convnextv2_base.fcmae_ft_in22k_in1k": (86.998, "2301.00808"),
    "edgenext_small.usi_in1k": (81.564, "2206.10589"),
    "caformer_s18.sail_in22k_ft_in1k": (84.076, "2210.13452"),
    "swin_tiny_patch4_window7_224.ms_in22k_ft_in1k": (80.968, "2103.14030"),
    "swin_base_patch4_window7_224.ms_in22k_ft_in1k": (85.272, "2103.14030"),
    "swinv2_tiny_window8_256.ms_in1k": (81.820, "2111.09883"),
    "maxvit_tiny_tf_224.in1k": (83.402, "2204.01697"),
    "coatnet_0_rw_224.sw_in1k": (82.390, "2106.04803"),
    "tiny_vit_5m_224.dist_in22k_ft_in1k": (80.7, "2207.10666"),  # [tinyvit]
    "tiny_vit_21m_224.dist_in22k_ft_in1k": (84.8, "2207.10666"),  # [tinyvit]
    "fastvit_t8.apple_dist_in1k": (76.7, "2303.14189"),  # [fastvit]
    "fastvit_sa12.apple_dist_in1k": (81.9, "2303.14189"),  # [fastvit]
    "vit_tiny_patch16_224.augreg_in21k_ft_in1k": (75.454, "2106.10270"),
    "vit_small_patch16_224.augreg_in21k_ft_in1k": (81.384, "2106.10270"),
    "vit_small_r26_s32_224.augreg_in21k_ft_in1k": (81.864, "2106.10270"),
    "vit_base_patch16_224.augreg2_in21k_ft_in1k": (85.096, "2106.10270"),
    "vit_medium_patch16_reg4_gap_256.sbb_in12k_ft_in1k": (84.930, "2309.16588"),
    "vit_betwixt_patch16_reg4_gap_256.sbb2_e200_in12k_ft_in1k": (85.734, "2309.16588"),
    "deit3_small_patch16_224.fb_in22k_ft_in1k": (83.074, "2204.07118"),
    "deit3_base_patch16_224.fb_in22k_ft_in1k": (85.700, "2204.07118"),
    "eva02_tiny_patch14_336.mim_in22k_ft_in1k": (80.630, "2303.11331"),
    "eva02_small_patch14_336.mim_in22k_ft_in1k": (85.716, "2303.11331"),
    "hrnet_w18_ssld.paddle_in1k": (82.046, "1908.07919"),
}

# Networks without a classifier: ImageNet accuracy of their frozen features in percent, and the input size to use where
# it is not the one that they were trained at last.
FEATURES: dict[str, tuple[float | None, str, int | None]] = {
    "vit_small_patch14_dinov2.lvd142m": (81.1, "2304.07193", 224),  # [dinov2] (79.0)
    "vit_small_patch14_reg4_dinov2.lvd142m": (80.9, "2309.16588", 224),  # [dinov2] (79.1)
    "vit_base_patch14_dinov2.lvd142m": (84.5, "2304.07193", 224),  # [dinov2] (82.1)
    "vit_base_patch14_reg4_dinov2.lvd142m": (84.6, "2309.16588", 224),  # [dinov2] (82.0)
    "vit_large_patch14_reg4_dinov2.lvd142m": (86.7, "2309.16588", 224),  # [dinov2] (83.8)
    "vit_small_patch16_224.dino": (77.0, "2104.14294", None),  # [dino] (74.5)
    "vit_base_patch16_224.dino": (78.2, "2104.14294", None),  # [dino] (76.1)
    "vit_base_patch16_224.mae": (68.0, "2111.06377", None),  # [mae]
    "vit_small_patch16_dinov3.lvd1689m": (None, "2508.10104", 224),
    "vit_small_plus_patch16_dinov3.lvd1689m": (None, "2508.10104", 224),
    "vit_base_patch16_dinov3.lvd1689m": (None, "2508.10104", 224),
    "vit_large_patch16_dinov3.lvd1689m": (None, "2508.10104", 224),
    "convnext_tiny.dinov3_lvd1689m": (None, "2508.10104", 224),
    "convnext_small.dinov3_lvd1689m": (None, "2508.10104", 224),
    "convnext_base.dinov3_lvd1689m": (None, "2508.10104", 224),
    "vit_base_patch32_clip_224.openai": (76.1, "2103.00020", None),  # [clip]
    "vit_base_patch16_clip_224.openai": (80.2, "2103.00020", None),  # [clip]
    "vit_large_patch14_clip_224.openai": (83.9, "2103.00020", None),  # [clip]
    "vit_base_patch32_clip_224.datacompxl": (69.17, "2304.14108", None),  # [openclip]
    "vit_base_patch16_clip_224.datacompxl": (73.49, "2304.14108", None),  # [openclip]
    "vit_base_patch16_clip_224.laion2b": (70.23, "2212.07143", None),  # [openclip]
    "vit_large_patch14_clip_224.datacompxl": (79.21, "2304.14108", None),  # [openclip]
    "eva02_base_patch16_clip_224.merged2b": (74.72, "2303.15389", None),  # [openclip]
    "convnext_base.clip_laion2b_augreg": (71.47, "2212.07143", None),  # [openclip]
    "vit_base_patch16_siglip_224.webli": (None, "2303.15343", None),
    "vit_base_patch16_siglip_224.v2_webli": (None, "2502.14786", None),
    "vit_so400m_patch14_siglip_224.v2_webli": (None, "2502.14786", None),
    "fastvit_mci0.apple_mclip": (None, "2311.17049", None),
    "fastvit_mci2.apple_mclip": (None, "2311.17049", None),
    "vit_xsmall_patch16_clip_224.tinyclip_yfcc15m": (None, "2309.12314", None),
}


def rows(done: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Describe every curated network that is not `done`."""
    from advisor_timm.describe import describe
    from advisor_timm.network import to_json

    chosen = [(n, a, None, s, None) for n, (a, s) in SUPERVISED.items()]
    chosen += [(n, None, t, s, size) for n, (t, s, size) in FEATURES.items()]  # type: ignore[misc]
    for name, accuracy, transfer, source, size in chosen:
        if f"timm/{name}" in done:
            continue
        start = time.monotonic()
        network = replace(
            describe(name, size=size),
            accuracy=None if accuracy is None else round(accuracy / 100, 5),
            transfer_accuracy=None if transfer is None else round(transfer / 100, 5),
            source=f"arXiv:{source}",
        )
        print(f"{network.name}: {network.family}, {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
        yield to_json(network)


def main() -> int:
    """Write the table, network by network."""
    import timm

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--again", action="store_true", help="describe also what is in the table")
    again = parser.parse_args().again
    done = {} if again else {r["name"]: r for r in json.loads(TABLE.read_text(encoding="utf-8"))["networks"]}
    for record in rows(done):
        done = {**done, record["name"]: record}
        lines = ",\n  ".join(json.dumps(done[name]) for name in sorted(done))
        TABLE.write_text(f'{{"timm": "{timm.__version__}", "networks": [\n  {lines}\n]}}\n', encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
