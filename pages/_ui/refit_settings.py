"""What the Re-fit page asks for, as the options of the solver."""

import streamlit as st

from fisherdash.dataset import Dataset
from fisherdash.fisher import HEAD_FORMS, METHODS, HeadForm, Method, Options, StabilitySettings
from fisherdash.fisher.stability import FALLBACK_TEMPERATURE

METHOD_WORDS: dict[Method, str] = {
    "forces": "from forces",
    "laplacian": "from positions and the temperature alone",
    "gradient": "by gradient descent",
}
HEAD_WORDS: dict[HeadForm, str] = {
    "shared": "one for all atoms",
    "by element": "one for each element",
}
RIDGE_WORDS = {
    "auto": "held-out frames",
    "stable": "stable dynamics",
    "evidence": "evidence",
    "gcv": "GCV",
    "by hand": "by hand",
}


def choose_options(data: Dataset) -> Options | None:
    """The widgets; None where what was chosen cannot be done with these data."""
    left, right = st.columns(2)
    with left:
        method = st.selectbox(
            "Fit",
            METHODS,
            format_func=METHOD_WORDS.__getitem__,
            help="Forces give the head in one step. Without them it follows from the second "
            "derivatives of the descriptors, if the frames are a Boltzmann sample. Descent arrives "
            "at the same head as the forces, step by step.",
        )
    with right:
        form = st.selectbox(
            "Head",
            HEAD_FORMS,
            format_func=HEAD_WORDS.__getitem__,
            help="One vector for each element is still a closed form and has more freedom; the "
            "held-out errors show whether it is worth it.",
        )
    ridge, stability = _ridge(data)
    energy_weight, holdout, probes, temperature = _more(data, method)
    if method == "laplacian" and data.temperature is None and temperature is None:
        st.info(
            "These data do not say at which temperature they were sampled, which the fit without "
            "forces needs. Give it under “More settings”.",
            icon=":material/thermostat:",
        )
        return None
    return Options(
        method=method,
        ridge=ridge,  # pyright: ignore[reportArgumentType] - one of the rules or a number
        temperature=temperature,
        head=form,
        energy_weight=energy_weight,
        probes=probes,
        holdout=holdout,
        stability=stability,
    )


def _ridge(data: Dataset) -> tuple[str | float, StabilitySettings]:
    """The rule that chooses the ridge, or its value, and the runs that one rule needs."""
    way = st.segmented_control(
        "Ridge λ chosen by",
        list(RIDGE_WORDS),
        format_func=RIDGE_WORDS.__getitem__,
        default="auto",
        required=True,
        help="The ridge pulls the new head towards the default one. Held-out frames: lowest loss "
        "on frames that were not fitted. Stable dynamics: the lowest divergence among heads whose "
        "short NVE runs lose no more replicas than the default's. Evidence and GCV judge by the "
        "fitted frames alone and take them as independent.",
    )
    if way == "by hand":
        power = st.slider(
            "λ as a power of ten of the largest eigenvalue",
            min_value=-14.0,
            max_value=2.0,
            value=-6.0,
            step=0.5,
            help="Usually −8 to −2. Small values fit the forces best but let the head grow, which "
            "has made dynamics less stable.",
        )
        return 10.0**power, StabilitySettings()
    if way == "stable":
        return way, stability_settings("choose", data)
    return way, StabilitySettings()


def stability_settings(key: str, data: Dataset) -> StabilitySettings:
    """How the candidates are tried; to begin with, at the temperature of the data."""
    usual, warm = StabilitySettings(), float(data.temperature or FALLBACK_TEMPERATURE)
    columns = st.columns(4)
    replicas = columns[0].number_input(
        "Replicas", 2, 512, usual.replicas, key=f"{key} replicas",
        help="Trajectories of every candidate. 24 tell large differences only; 64 or more are "
        "better.",
    )  # fmt: skip
    length = columns[1].number_input(
        "Length (ps)", 0.05, 100.0, usual.picoseconds, 0.5, key=f"{key} length",
        help="Of each trajectory. Under-trained models often die within 1 to 4 ps.",
    )  # fmt: skip
    heat = columns[2].number_input(
        "Temperature (K)", 1.0, 5000.0, min(warm, 5000.0), 50.0, key=f"{key} temperature {warm:g}",
        help="Of the initial momenta. Hotter runs find instabilities sooner.",
    )  # fmt: skip
    points = columns[3].number_input(
        "Candidates", 1, 20, usual.points, key=f"{key} points",
        help="Points of the ridge path, from the held-out minimum towards the default head.",
    )  # fmt: skip
    return StabilitySettings(
        replicas=int(replicas), picoseconds=length, temperature=heat, points=int(points)
    )


def _more(data: Dataset, method: Method) -> tuple[float, float, int | None, float | None]:
    """Energy weight, share held out, Laplacian probes, temperature."""
    with st.expander("More settings"):
        columns = st.columns(4)
        weight = columns[0].number_input(
            "Energy weight (1/Å²)", 0.0, 1e6, 0.0, disabled=method == "laplacian",
            help="Of the squared energy error against the mean squared force component. 0 fits "
            "forces alone; 1 is what a training with equal weights minimises.",
        )  # fmt: skip
        holdout = columns[1].number_input(
            "Share held out", 0.05, 0.9, 0.2, 0.05,
            help="Frames that are not fitted: half of them choose the ridge, half report.",
        )  # fmt: skip
        probes = columns[2].number_input(
            "Laplacian probes", 0, 1000, 0,
            help="Random directions for each frame's Laplacians, for molecules of some dozens of "
            "atoms. 0: exact, from all directions.",
        )  # fmt: skip
        heat = columns[3].number_input(
            "Temperature of the data (K)", 0.0, 10000.0, float(data.temperature or 0.0),
            help="What the frames were sampled at; 0 for unknown. The Boltzmann test compares "
            "with it, the fit without forces depends on it.",
        )  # fmt: skip
    weight = 0.0 if method == "laplacian" else weight
    changed = heat > 0 and heat != data.temperature
    return weight, holdout, int(probes) or None, heat if changed else None
