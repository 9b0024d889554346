"""Files as people write them, made of frames in which energies and forces belong together."""

import io

import numpy as np
import pytest

from fisherdash.dataset import load_bytes
from fisherdash.errors import InputError
from fisherdash.units import HARTREE

OH = 0.96


def springs() -> dict[str, np.ndarray]:
    """60 frames of water in a potential of springs: what belongs together, in eV and Å."""
    random = np.random.default_rng(3)
    rest = np.array([[0.0, 0, 0], [OH, 0, 0], [-0.24, 0.93, 0]])
    pairs, springs = [(0, 1), (0, 2), (1, 2)], [40.0, 40.0, 15.0]
    positions = rest + random.normal(scale=0.04, size=(60, 3, 3))
    energies, forces = np.full(60, -76.4 * HARTREE), np.zeros((60, 3, 3))
    for (i, j), stiff in zip(pairs, springs, strict=True):
        way = positions[:, j] - positions[:, i]
        length = np.linalg.norm(way, axis=1)
        off = length - np.linalg.norm(rest[j] - rest[i])
        energies += 0.5 * stiff * off**2
        pull = stiff * off[:, None] * way / length[:, None]
        forces[:, i] += pull
        forces[:, j] -= pull
    return {"positions": positions, "energies": energies, "forces": forces,
            "atomic_numbers": np.array([8, 1, 1])}  # fmt: skip


def xyz(water, scale=(1.0, 1.0, 1.0), comment="energy={e:.10f}", head=None, names="OHH", **more):
    """XYZ text of the frames, energies, forces and positions divided by the scale."""
    head = "Properties=species:S:1:pos:R:3:forces:R:3 " if head is None else head
    lines = []
    frames = more.get("frames", len(water["energies"]))
    for x, e, f in zip(
        *(water[k][:frames] for k in ("positions", "energies", "forces")), strict=True
    ):
        lines += ["3", head + comment.format(e=e / scale[0])]
        lines += [
            " ".join([n, *(f"{v:.9f}" for v in (*(a / scale[2]), *(b / scale[1])))])
            for n, a, b in zip(names, x, f, strict=True)
        ]
    return "\n".join(lines).encode() + b"\n"


def npz(**content) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **content)
    return buffer.getvalue()


def same(data, water, rows=slice(None)) -> None:
    for key in ("positions", "energies", "forces"):
        np.testing.assert_allclose(getattr(data, key), water[key][rows], atol=2e-6, rtol=1e-8)


def sentence(name: str, content: bytes, **said) -> str:
    with pytest.raises(InputError) as refusal:
        load_bytes(name, content, **said)
    return str(refusal.value)
