"""What the Train page asks for: the network, and how it is trained."""

import streamlit as st

from fisherdash.potentials.e3x import ModelConfig
from fisherdash.train import SCHEDULES, TrainSettings

REPORT = ModelConfig()
USUAL = TrainSettings()


def network() -> ModelConfig:
    """The network's hyperparameters."""
    with st.grid(5, min_column_width=140):
        features = st.number_input(
            "Features",
            value=REPORT.features,
            min_value=1,
            help="Numbers per atom, and of descriptors in the last layer; usually 16 to 64.",
        )
        degree = st.number_input(
            "Highest degree",
            value=REPORT.max_degree,
            min_value=0,
            max_value=3,
            help="Of the equivariant features: 0 knows distances only, 1 adds directions, 2 the "
            "shape of neighbourhoods; more is slower.",
        )
        iterations = st.number_input(
            "Iterations",
            value=REPORT.iterations,
            min_value=1,
            max_value=8,
            help="Rounds of messages between neighbours, usually 2 to 4.",
        )
        basis = st.number_input(
            "Radial basis",
            value=REPORT.basis,
            min_value=2,
            help="Functions that resolve a distance, usually 8 to 32.",
        )
        cutoff = st.number_input(
            "Cutoff (Å)",
            value=REPORT.cutoff,
            min_value=1.0,
            step=0.5,
            help="Distance at which two atoms stop seeing each other, usually 3 to 6 Å.",
        )
    return ModelConfig(int(features), int(degree), int(iterations), int(basis), float(cutoff))


def schedule() -> TrainSettings:
    """How to train."""
    with st.grid(5, min_column_width=140):
        epochs = st.number_input(
            "Epochs", value=USUAL.epochs, min_value=1, help="Passes over the training frames."
        )
        batch = st.number_input(
            "Batch size",
            value=USUAL.batch_size,
            min_value=1,
            help="Frames for one step of the optimiser, usually 5 to 50.",
        )
        rate = st.number_input(
            "Learning rate",
            value=USUAL.learning_rate,
            min_value=0.0,
            format="%.4f",
            step=0.001,
            help="Of Adam, usually 0.001 to 0.01; too high a rate diverges.",
        )
        weight = st.number_input(
            "Weight of forces",
            value=USUAL.forces_weight,
            min_value=0.0,
            help="Of the force error (eV/Å)² against the energy error (eV)² in the loss; "
            "usually 1 to 100.",
        )
        seed = st.number_input(
            "Seed", value=0, min_value=0, help="Of the split, the first weights and the order."
        )
        form = st.selectbox(
            "Learning rate over time",
            SCHEDULES,
            help="Anneal holds it for 60 % of the epochs, then lowers it to a hundredth; cosine "
            "climbs, then falls all the way, for long trainings; constant is the report's.",
        )
        patience = st.number_input(
            "Patience (epochs)",
            value=None,
            min_value=1,
            placeholder="never",
            help="Stop early, after so many epochs without a better validation loss; usually "
            "20 to 100.",
        )
    return TrainSettings(
        epochs=int(epochs),
        batch_size=int(batch),
        learning_rate=float(rate),
        forces_weight=float(weight),
        schedule=form,
        **_for_good_models(),
        patience=None if patience is None else int(patience),
        seed=int(seed),
    )


def _for_good_models() -> dict[str, float]:
    """What long trainings and the search for flat minima want; off to begin with."""
    with st.expander("More settings", icon=":material/tune:"), st.grid(3, min_column_width=140):
        average = st.number_input(
            "Averaging",
            value=USUAL.average,
            min_value=0.0,
            max_value=0.9999,
            step=0.001,
            format="%.4f",
            help="Moving average of the weights: the share that a step leaves of it. 0 keeps the "
            "last weights; 0.99 to 0.999 take out the noise of small batches.",
        )
        clip = st.number_input(
            "Longest gradient",
            value=USUAL.clip,
            min_value=0.0,
            step=0.5,
            help="As a multiple of its usual length; 0 never shortens. 1.5 to 3 keep one odd batch "
            "from throwing a fast training off its path.",
        )
        radius = st.number_input(
            "Sharpness radius",
            value=USUAL.sharpness_radius,
            min_value=0.0,
            step=0.01,
            help="Of sharpness-aware training, which looks for flat minima and doubles the time; "
            "0 is off, usual are 0.01 to 0.1, in the norm of all weights.",
        )
    return {"average": average, "clip": clip, "sharpness_radius": radius}
