"""Small MACE models with weights of nobody, for a Python that has mace-torch.

python make_mace.py FOLDER
"""

import sys

import mace  # noqa: F401 - first: e3nn alone cannot read its own constants with a new torch
import numpy as np
import torch
from e3nn import o3
from mace import modules

ALONE = np.array([-13.6, -1030.0, -2042.0])
"""Energies of isolated H, C and O in eV."""


def model(kind: str, heads: list[str], repulsion: bool):
    """Two interactions, one linear readout and one with a hidden layer."""
    torch.manual_seed(0)
    blocks = modules.interaction_classes
    scaled = {
        "atomic_inter_scale": [0.7 + 0.2 * one for one in range(len(heads))],
        "atomic_inter_shift": [0.05 + 0.1 * one for one in range(len(heads))],
    }
    return getattr(modules, kind)(
        r_max=4.5,
        num_bessel=6,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=blocks["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=blocks["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=3,
        hidden_irreps=o3.Irreps("16x0e + 16x1o"),
        MLP_irreps=o3.Irreps("8x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.array([ALONE + one for one in range(len(heads))]),
        avg_num_neighbors=8,
        atomic_numbers=[1, 6, 8],
        correlation=2,
        heads=heads,
        pair_repulsion=repulsion,
        **(scaled if kind == "ScaleShiftMACE" else {}),
    )


torch.set_default_dtype(torch.float64)
torch.save(model("MACE", ["Default"], False), f"{sys.argv[1]}/plain.model")
torch.save(model("ScaleShiftMACE", ["one", "two"], True), f"{sys.argv[1]}/heads.model")
