"""A head that FisherDash re-fitted, on the model of MACE, SO3LR or NequIP that it was fitted for.

    from fisherdash_head import attach
    from mace.calculators import MACECalculator

    calculator = MACECalculator("ORIGINAL.model", default_dtype="float64")
    attach(calculator.models[0], "head.npz")

The model is changed in place, and everything that its library does in Python goes on working with
it; ``SO3LRCalculator`` has its model at the same place, and any loaded model of that library may be
given. Needs torch and numpy, and nothing of FisherDash. ``torch.jit.script`` and ``torch.compile``
do not know it.

With h_i the features of atom i (the inputs of the last layers, stretched by element), θ the
library's own weights of them, z the element of an atom, and V the principal directions of the
features, what is added is

    ΔU = Σ_i [(w_z − θ)·h_i + y_iᵀ Q_z y_i + c_z],    y_i = Vᵀh_i.

It is added to the output of the last layer, so that energies of atoms and of molecules, forces and
stress all are those of the new head.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]


class Head(torch.nn.Module):
    """What is added, from the arrays of ``head.npz``.

    Args:
        arrays: ``linear`` (w − θ), (elements, features); ``quadratic`` Q, (elements, r, r);
            ``basis`` V, (features, r); ``constants`` c, ``scale`` (what the library multiplies the
            output of its last layer by) and ``stretch``, (elements,): all in the library's units.
            ``row`` says which of these elements each type of atoms of the model is, or −1.
        layers: names of the layers whose inputs are features.
        chosen: which inputs of each layer are features.
        column: of the last layer's output.
    """

    def __init__(
        self, arrays: dict[str, Any], layers: list[str], chosen: list[list[int]], column: int
    ) -> None:
        super().__init__()
        self.chosen, self.column = [torch.tensor(one) for one in chosen], column
        for name in ("linear", "quadratic", "basis", "constants", "scale", "stretch", "row"):
            self.register_buffer(name, torch.from_numpy(np.array(arrays[name])))
        self.layers = layers
        self._elements: Any = None
        self._inputs: list[Any] = []

    def forward(self, inputs: Any, element: Any) -> Any:
        """ΔU of each atom, (atoms,), of inputs (atoms, features) and rows of elements (atoms,)."""
        h = inputs.double() * self.stretch[element, None]
        y = h @ self.basis
        products = torch.einsum("ar,ars,as->a", y, self.quadratic[element], y)
        return (h * self.linear[element]).sum(1) + products + self.constants[element]

    def _apply(self, fn: Any, recurse: bool = True) -> Head:
        # In double precision whatever the model is given: weights of both signs cancel in it.
        device = fn(torch.empty(0, device=self.linear.device)).device
        for name, one in self._buffers.items():
            self._buffers[name] = one.to(device)
        return self

    def of_molecules(self, _model: Any, given: tuple, named: dict) -> None:
        """Before the model: which element each atom is."""
        data = given[0] if given else named["data"]
        self._inputs.clear()
        types = data["node_attrs"].argmax(dim=1) if "node_attrs" in data else data["atom_types"]
        self._elements = self.row[types]
        if (self._elements < 0).any():
            raise ValueError("this head was fitted to molecules that lack some of these elements")

    def of_layer(self, _layer: Any, given: tuple) -> None:
        """Before a layer: its input."""
        self._inputs.append(given[0])

    def of_last_layer(self, _layer: Any, _given: tuple, output: Any) -> Any:
        """After the last layer: the difference is added to its output."""
        parts = [one[:, at] for one, at in zip(self._inputs, self.chosen, strict=True)]
        element, self._inputs, self._elements = self._elements, [], None
        change = self(torch.cat(parts, dim=1), element) / self.scale[element]
        output = output.clone()
        output[:, self.column] += change.to(output.dtype)
        return output


def attach(model: Any, path: str | Path) -> Any:
    """Put the head of a file on its model, in place; the model itself is returned.

    Raises:
        ValueError: for a model without these layers, or one that has such a head.
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    seam = json.loads(str(arrays.pop("seam")))
    if hasattr(model, "fisherdash_head"):
        raise ValueError("the model has such a head; load its file again")
    try:
        layers = [model.get_submodule(name) for name in seam["layers"]]
    except AttributeError as error:
        raise ValueError(f"this head is for another model: {error}") from error
    head = Head(arrays, **seam)
    model.register_forward_pre_hook(head.of_molecules, with_kwargs=True)
    for layer in layers:
        layer.register_forward_pre_hook(head.of_layer)
    layers[-1].register_forward_hook(head.of_last_layer)
    device = next(model.parameters()).device
    model.add_module("fisherdash_head", head.to(device))
    return model
