"""Ways to decide which visual tokens stay, behind one interface.

A new one is a file beside this one: a frozen dataclass that derives from `Picker` and has `pick`, from
`Informed` if it has to know more than the tokens, or from `Method` and has `select`. ``docs/extending.md``
tells what else it touches.
"""

from apet.methods.apet import ApET
from apet.methods.attended import Attended
from apet.methods.base import At, Method, Positions
from apet.methods.cdpruner import CDPruner
from apet.methods.context import Attention, Context, Decoder, Places
from apet.methods.dart import DART
from apet.methods.divprune import DivPrune
from apet.methods.downsample import Downsample
from apet.methods.evs import EVS
from apet.methods.fastv import FastV
from apet.methods.greedy import Greedy
from apet.methods.grid import Grid
from apet.methods.hiprune import HiPrune
from apet.methods.inside import Inside
from apet.methods.noimage import NoImage
from apet.methods.norm import Norm
from apet.methods.picker import Informed, Picked, Picker
from apet.methods.plugins import plugged_in
from apet.methods.pool import Pool
from apet.methods.prumerge import PruMerge
from apet.methods.pyramiddrop import PyramidDrop
from apet.methods.random import Random
from apet.methods.registry import METHODS, Row, named, rows
from apet.methods.sparsevlm import SparseVLM
from apet.methods.spread import Spread
from apet.methods.stage2 import Stage2
from apet.methods.textual import SPARE, ResPrune
from apet.methods.tome import ToMe
from apet.methods.unlike import Unlike
from apet.methods.vidcom2 import VidCom2
from apet.methods.visionzip import VisionZip
from apet.methods.vispruner import VisPruner

__all__ = [
    "DART",
    "EVS",
    "METHODS",
    "SPARE",
    "ApET",
    "At",
    "Attended",
    "Attention",
    "CDPruner",
    "Context",
    "Decoder",
    "DivPrune",
    "Downsample",
    "FastV",
    "Greedy",
    "Grid",
    "HiPrune",
    "Informed",
    "Inside",
    "Method",
    "NoImage",
    "Norm",
    "Picked",
    "Picker",
    "Places",
    "Pool",
    "Positions",
    "PruMerge",
    "PyramidDrop",
    "Random",
    "ResPrune",
    "Row",
    "SparseVLM",
    "Spread",
    "Stage2",
    "ToMe",
    "Unlike",
    "VidCom2",
    "VisPruner",
    "VisionZip",
    "named",
    "rows",
]

METHODS |= plugged_in(METHODS)  # behind everything that they may import from here
