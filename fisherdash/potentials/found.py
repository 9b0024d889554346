"""What is found in another program's file, before it becomes a checkpoint."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from fisherdash.potentials.form import SHARED, HeadForm
from fisherdash.potentials.potential import Parameters, Potential


@dataclasses.dataclass(frozen=True)
class Found:
    """A model, its energies still in the unit of its file.

    Attributes:
        library: whose file it was.
        potential, body: the network and its weights.
        head: θ, of the form ``form``.
        element_bias: constants of the energy by atomic number, (119,).
        elements: that the file says it knows; None where it does not say.
        parameters: how many numbers were trained, as the library counts them.
        precision: of the numbers in the file.
        readout: in words, how the energy is made from features.
        hint: shown where the unit of energy has to be asked for.
        notes: what the user should know.
        form: of the head.
        fixed_terms: in words, what of the energy no head changes.
        energy_unit: of the library, where every model of it has the same.
        provenance: JSON-able, what else is to be remembered.
    """

    library: str
    potential: Potential
    body: Parameters
    head: Float[np.ndarray, " weights"]
    element_bias: Float[np.ndarray, " elements"]
    elements: tuple[int, ...] | None
    parameters: int
    precision: str
    readout: str
    hint: str
    notes: tuple[str, ...] = ()
    form: HeadForm = SHARED
    fixed_terms: tuple[str, ...] = ()
    energy_unit: str | None = None
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)
