"""What torchvision publishes about its ImageNet weights, as literals: listing needs neither torch nor a network.

One `Architecture` for each network, one `Published` for each file of weights; a test compares every number with
torchvision's own metadata. `parameters` counts the network without its classifier (nor inception's auxiliary one);
`gmacs` is torchvision's figure for the whole network at the default size.
Does NOT cover: how a network is cut into stages (`stages`), how it is built (`networks`).
Licences: torchvision trained most of these itself and ships them under its own licence; ports carry that of their
origin where it is known. ImageNet's images are licensed for non-commercial research, which is no part of these terms.
"""

from __future__ import annotations

from dataclasses import dataclass

URL = "https://download.pytorch.org/models/"
MIB = 2**20
OWN = "BSD-3-Clause"  # torchvision's, for what torchvision trained


_RESNET = "He et al. 2015, arXiv:1512.03385"
_VGG = "Simonyan and Zisserman 2014, arXiv:1409.1556"
_DENSENET = "Huang et al. 2016, arXiv:1608.06993"
_MOBILENET_V2 = "Sandler et al. 2018, arXiv:1801.04381"
_MOBILENET_V3 = "Howard et al. 2019, arXiv:1905.02244"
_SQUEEZENET = "Iandola et al. 2016, arXiv:1602.07360"
_SHUFFLENET = "Ma et al. 2018, arXiv:1807.11164"
_EFFICIENTNET = "Tan and Le 2019, arXiv:1905.11946"
_EFFICIENTNET_V2 = "Tan and Le 2021, arXiv:2104.00298"
_REGNET = "Radosavovic et al. 2020, arXiv:2003.13678"
_CONVNEXT = "Liu et al. 2022, arXiv:2201.03545"
_SWIN = "Liu et al. 2021, arXiv:2103.14030"
_VIT = "Dosovitskiy et al. 2020, arXiv:2010.11929"
_SWIN_V2 = "Liu et al. 2021, arXiv:2111.09883"
_MAXVIT = "Tu et al. 2022, arXiv:2204.01697"
_INCEPTION = "Szegedy et al. 2015, arXiv:1512.00567"


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One network: `head` is the name of its classifier in the weights file; input sizes are multiples of `multiple`."""

    name: str
    dim: int
    head: str
    parameters: int
    gmacs: float
    paper: str
    multiple: int = 1


@dataclass(frozen=True, kw_only=True)
class Published:
    """One file of weights. `mib` is its size in MiB to three decimals, `accuracy` ImageNet top-1 in percent."""

    network: str
    file: str
    mib: float
    accuracy: float
    version: int = 1
    size: int = 224
    resize: int = 256
    interpolation: str = "bilinear"
    licence: str = OWN

    @property
    def sha256_prefix(self) -> str:
        """The first digits of the file's SHA-256, which torchvision writes into its name."""
        return self.file.removesuffix(".pth").rsplit("-", 1)[1]


ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(name="resnet18", dim=512, head="fc", parameters=11_176_512, gmacs=1.814, paper=_RESNET),
    Architecture(name="resnet34", dim=512, head="fc", parameters=21_284_672, gmacs=3.664, paper=_RESNET),
    Architecture(name="resnet50", dim=2048, head="fc", parameters=23_508_032, gmacs=4.089, paper=_RESNET),
    Architecture(name="resnet101", dim=2048, head="fc", parameters=42_500_160, gmacs=7.801, paper=_RESNET),
    Architecture(name="vgg16", dim=4096, head="classifier.6", parameters=134_260_544, gmacs=15.47, paper=_VGG),
    Architecture(name="densenet121", dim=1024, head="classifier", parameters=6_953_856, gmacs=2.834, paper=_DENSENET),
    Architecture(
        name="mobilenet_v2", dim=1280, head="classifier.1", parameters=2_223_872, gmacs=0.301, paper=_MOBILENET_V2
    ),
    Architecture(
        name="mobilenet_v3_small", dim=1024, head="classifier.3", parameters=1_517_856, gmacs=0.057, paper=_MOBILENET_V3
    ),
    Architecture(
        name="mobilenet_v3_large", dim=1280, head="classifier.3", parameters=4_202_032, gmacs=0.217, paper=_MOBILENET_V3
    ),
    Architecture(
        name="squeezenet1_1", dim=512, head="classifier.1", parameters=722_496, gmacs=0.349, paper=_SQUEEZENET
    ),
    Architecture(name="shufflenet_v2_x1_0", dim=1024, head="fc", parameters=1_253_604, gmacs=0.145, paper=_SHUFFLENET),
    Architecture(
        name="efficientnet_b0", dim=1280, head="classifier.1", parameters=4_007_548, gmacs=0.386, paper=_EFFICIENTNET
    ),
    Architecture(
        name="efficientnet_b1", dim=1280, head="classifier.1", parameters=6_513_184, gmacs=0.687, paper=_EFFICIENTNET
    ),
    Architecture(
        name="efficientnet_b3", dim=1536, head="classifier.1", parameters=10_696_232, gmacs=1.827, paper=_EFFICIENTNET
    ),
    Architecture(
        name="efficientnet_v2_s",
        dim=1280,
        head="classifier.1",
        parameters=20_177_488,
        gmacs=8.366,
        paper=_EFFICIENTNET_V2,
    ),
    Architecture(name="regnet_y_400mf", dim=440, head="fc", parameters=3_903_144, gmacs=0.402, paper=_REGNET),
    Architecture(name="regnet_y_1_6gf", dim=888, head="fc", parameters=10_313_430, gmacs=1.612, paper=_REGNET),
    Architecture(name="regnet_y_3_2gf", dim=1512, head="fc", parameters=17_923_338, gmacs=3.176, paper=_REGNET),
    Architecture(
        name="convnext_tiny", dim=768, head="classifier.2", parameters=27_820_128, gmacs=4.456, paper=_CONVNEXT
    ),
    Architecture(
        name="convnext_small", dim=768, head="classifier.2", parameters=49_454_688, gmacs=8.684, paper=_CONVNEXT
    ),
    Architecture(
        name="convnext_base", dim=1024, head="classifier.2", parameters=87_566_464, gmacs=15.355, paper=_CONVNEXT
    ),
    Architecture(name="swin_t", dim=768, head="head", parameters=27_519_354, gmacs=4.491, paper=_SWIN),
    Architecture(name="swin_v2_t", dim=768, head="head", parameters=27_582_570, gmacs=5.94, paper=_SWIN_V2),
    Architecture(
        name="maxvit_t",
        dim=512,
        head="classifier.5",
        parameters=30_407_624,
        gmacs=5.558,
        paper=_MAXVIT,
        multiple=224,  # its windows are made for this size alone
    ),
    Architecture(
        name="vit_b_16", dim=768, head="heads.head", parameters=85_798_656, gmacs=17.564, paper=_VIT, multiple=16
    ),
    Architecture(
        name="vit_b_32", dim=768, head="heads.head", parameters=87_455_232, gmacs=4.409, paper=_VIT, multiple=32
    ),
    Architecture(name="inception_v3", dim=2048, head="fc", parameters=21_785_568, gmacs=5.713, paper=_INCEPTION),
)

PUBLISHED: tuple[Published, ...] = (
    Published(network="resnet18", file="resnet18-f37072fd.pth", mib=44.661, accuracy=69.758),
    Published(network="resnet34", file="resnet34-b627a593.pth", mib=83.275, accuracy=73.314),
    Published(network="resnet50", file="resnet50-0676ba61.pth", mib=97.781, accuracy=76.13),
    Published(network="resnet50", file="resnet50-11ad3fa6.pth", mib=97.79, accuracy=80.858, version=2, resize=232),
    Published(network="resnet101", file="resnet101-63fe2227.pth", mib=170.511, accuracy=77.374),
    Published(network="resnet101", file="resnet101-cd907fc2.pth", mib=170.53, accuracy=81.886, version=2, resize=232),
    Published(network="vgg16", file="vgg16-397923af.pth", mib=527.796, accuracy=71.592),
    Published(
        network="densenet121",
        file="densenet121-a639ec97.pth",
        mib=30.845,
        accuracy=74.434,
        licence="unknown (LuaTorch port)",
    ),
    Published(network="mobilenet_v2", file="mobilenet_v2-b0353104.pth", mib=13.555, accuracy=71.878),
    Published(
        network="mobilenet_v2", file="mobilenet_v2-7ebf99e0.pth", mib=13.598, accuracy=72.154, version=2, resize=232
    ),
    Published(network="mobilenet_v3_small", file="mobilenet_v3_small-047dcff4.pth", mib=9.829, accuracy=67.668),
    Published(network="mobilenet_v3_large", file="mobilenet_v3_large-8738ca79.pth", mib=21.114, accuracy=74.042),
    Published(
        network="mobilenet_v3_large",
        file="mobilenet_v3_large-5c1a4163.pth",
        mib=21.107,
        accuracy=75.274,
        version=2,
        resize=232,
    ),
    Published(
        network="squeezenet1_1", file="squeezenet1_1-b8a52dc0.pth", mib=4.729, accuracy=58.178, licence="unknown (port)"
    ),
    Published(
        network="shufflenet_v2_x1_0",
        file="shufflenetv2_x1-5666bf0f80.pth",
        mib=8.791,
        accuracy=69.362,
        licence="unknown (port)",
    ),
    Published(
        network="efficientnet_b0",
        file="efficientnet_b0_rwightman-7f5810bc.pth",
        mib=20.451,
        accuracy=77.692,
        interpolation="bicubic",
        licence="Apache-2.0",
    ),
    Published(
        network="efficientnet_b1",
        file="efficientnet_b1_rwightman-bac287d4.pth",
        mib=30.134,
        accuracy=78.642,
        size=240,
        interpolation="bicubic",
        licence="Apache-2.0",
    ),
    Published(
        network="efficientnet_b1",
        file="efficientnet_b1-c27df63c.pth",
        mib=30.136,
        accuracy=79.838,
        version=2,
        size=240,
        resize=255,
    ),
    Published(
        network="efficientnet_b3",
        file="efficientnet_b3_rwightman-b3899882.pth",
        mib=47.184,
        accuracy=82.008,
        size=300,
        resize=320,
        interpolation="bicubic",
        licence="Apache-2.0",
    ),
    Published(
        network="efficientnet_v2_s",
        file="efficientnet_v2_s-dd5fe13b.pth",
        mib=82.704,
        accuracy=84.228,
        size=384,
        resize=384,
    ),
    Published(network="regnet_y_400mf", file="regnet_y_400mf-c65dace8.pth", mib=16.806, accuracy=74.046),
    Published(
        network="regnet_y_400mf", file="regnet_y_400mf-e6988f5f.pth", mib=16.806, accuracy=75.804, version=2, resize=232
    ),
    Published(network="regnet_y_1_6gf", file="regnet_y_1_6gf-b11a554e.pth", mib=43.152, accuracy=77.95),
    Published(
        network="regnet_y_1_6gf", file="regnet_y_1_6gf-0d7bc02a.pth", mib=43.152, accuracy=80.876, version=2, resize=232
    ),
    Published(network="regnet_y_3_2gf", file="regnet_y_3_2gf-b5a9779c.pth", mib=74.567, accuracy=78.948),
    Published(
        network="regnet_y_3_2gf", file="regnet_y_3_2gf-9180c971.pth", mib=74.567, accuracy=81.982, version=2, resize=232
    ),
    Published(network="convnext_tiny", file="convnext_tiny-983f1562.pth", mib=109.119, accuracy=82.52, resize=236),
    Published(network="convnext_small", file="convnext_small-0c510722.pth", mib=191.703, accuracy=83.616, resize=230),
    Published(network="convnext_base", file="convnext_base-6075fbad.pth", mib=338.064, accuracy=84.062, resize=232),
    Published(
        network="swin_t", file="swin_t-704ceda3.pth", mib=108.19, accuracy=81.474, resize=232, interpolation="bicubic"
    ),
    Published(
        network="swin_v2_t",
        file="swin_v2_t-b137f0e2.pth",
        mib=108.626,
        accuracy=82.072,
        size=256,
        resize=260,
        interpolation="bicubic",
    ),
    Published(
        network="maxvit_t",
        file="maxvit_t-bc5ab103.pth",
        mib=118.769,
        accuracy=83.7,
        resize=224,
        interpolation="bicubic",
    ),
    Published(network="vit_b_16", file="vit_b_16-c867db91.pth", mib=330.285, accuracy=81.072),
    Published(network="vit_b_32", file="vit_b_32-d86f8d99.pth", mib=336.604, accuracy=75.912),
    Published(
        network="inception_v3",
        file="inception_v3_google-0cc3c7bd.pth",
        mib=103.903,
        accuracy=77.294,
        size=299,
        resize=342,
        licence="Apache-2.0",
    ),
)
