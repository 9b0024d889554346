"""What a re-fit says of itself, panel by panel.

What the Re-fit page asks for, as the options of the solver.
"""

import math
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from fisherdash.dataset import Dataset
from fisherdash.fisher import (
    HEAD_FORMS,
    METHODS,
    WORDS,
    HeadForm,
    Method,
    Options,
    Refit,
    StabilitySettings,
    Tried,
)
from fisherdash.fisher.stability import FALLBACK_TEMPERATURE
from fisherdash.plots import refit as figures
from fisherdash.plots.refit import temperature_figure
from pages.ui.charts import draw, numbers, show_table
from pages.ui.progress import plain

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


NUMBER = "%.4g"


def before_and_after(refit: Refit) -> None:
    """The verdict, its warnings, and the numbers behind it."""
    st.markdown(f"**{plain(refit.verdict)}**")
    for warning in refit.warnings:
        st.warning(plain(warning), icon=":material/warning:")
    rows = {
        "force RMSE (eV/Å)": refit.force_rmse,
        "energy RMSE (eV)": refit.energy_rmse,
        "Fisher divergence (eV²/Å²)": refit.fisher_divergence,
        "head norm (eV)": refit.head_norm,
    }
    if refit.kl is not None:
        rows["KL divergence kT·D(data‖model) (meV)"] = {
            name: 1000 * found.value for name, found in refit.kl.items()
        }
    table = pd.DataFrame(
        [
            {
                "quantity": name,
                "default head": f"{values['default']:.4g}",
                "Fisher head": f"{values['fisher']:.4g}",
            }
            for name, values in rows.items()
        ]
    )
    left, right = st.columns(2)
    with left:
        show_table(table, "Errors before and after the re-fit")
        fitted, chose, reported = refit.frames
        st.caption(
            f"On {reported} frames that neither the fit ({fitted}) nor the choice of the ridge "
            f"({chose}) has seen. The divergence is given without its factor β²."
        )
    with right:
        for line in _facts(refit):
            st.markdown(f"- {line}")


def _facts(refit: Refit) -> list[str]:
    condition, choice, spread = refit.condition_number, refit.choice, refit.posterior
    number = f"{condition:.2g}" if math.isfinite(condition) else "infinite (singular)"
    ridge = f"ridge λ **{figures.ridge_label(choice.ridge)}** ({WORDS[choice.rule]}"
    if choice.low is not None and choice.high is not None:
        low, high = map(figures.ridge_label, (choice.low, choice.high))
        ridge += f"; other held-out frames would choose {low} to {high}"
    lines = [
        f"{ridge})",
        f"condition number **{number}**, effective rank **{refit.effective_rank:.3g}** of "
        f"{len(refit.eigenvalues)}",
    ]
    if spread is not None:
        lines.append(
            f"typical error bar of a force from the head alone **{spread.force_stderr:.2g} eV/Å**; "
            f"two halves of the frames give forces {spread.half_difference:.2g} eV/Å apart "
            f"(cosine of their changes {spread.half_cosine:.2f})"
        )
    if refit.kl is not None:
        default, fitted = refit.kl["default"], refit.kl["fisher"]
        lines.append(
            f"KL divergence from {fitted.frames} frames; effective sample size "
            f"{default.effective_frames:.0f} (default) and {fitted.effective_frames:.0f} (Fisher)"
        )
    return lines


def path(refit: Refit, key: str) -> float | None:
    """The ridge path; the λ of the point that was chosen there, if one was."""
    ridges = figures.shown_ridges(refit.path)
    slider = f"{key} point"

    def take() -> None:
        selected = st.session_state[f"{key} path"].selection.selected
        if selected:
            st.session_state[slider] = ridges[selected[0]["data_indices"][0]]

    figure = figures.path_figure(refit.path, refit.ridge)
    st.echarts_chart(
        figure.option, alt=figure.alt, height=figure.height, key=f"{key} path", on_select=take
    )
    st.caption(
        "Measured on the frames that choose the ridge. Click a point, or move the slider, to see "
        "that head."
    )
    numbers(figure, f"{key} path")
    nearest = min(ridges, key=lambda ridge: abs(ridge - min(refit.ridge, ridges[0])))
    st.session_state.setdefault(slider, nearest)
    chosen = st.select_slider(
        "Ridge λ of the head below", ridges, format_func=figures.ridge_label, key=slider
    )
    return None if chosen == nearest else float(chosen)


def spectrum_and_head(refit: Refit, key: str) -> None:
    """Which directions the data decide, and what the head looks like."""
    left, right = st.columns(2)
    with left:
        st.markdown("**Spectrum of T**")
        draw(figures.spectrum_figure(refit.eigenvalues, refit.ridge), key=f"{key} spectrum")
        st.caption(
            "Directions below the ridge keep their default value: forces hardly depend on them, "
            "so the data cannot decide them."
        )
    with right:
        st.markdown("**Weights of the head**")
        draw(
            figures.head_figure(refit.prepared.start.head, refit.checkpoint.head),
            key=f"{key} head",
        )


def boltzmann(refit: Refit, key: str) -> None:
    """Whether the data are what the fit takes them for."""
    if refit.boltzmann is None:
        st.caption(
            "The test could not be made: it needs 25 groups of frames and a head that is not zero."
        )
        return
    st.markdown(f"**{refit.boltzmann.verdict}**")
    draw(temperature_figure(refit.boltzmann), key=f"{key} temperatures")
    st.caption(
        "For Boltzmann samples the mean of ∇U·∇D over that of ΔD is kT for every descriptor D. "
        "Bars are one standard error, bootstrapped over groups of consecutive frames."
    )


def stability(refit: Refit) -> None:
    """The runs behind a stability-aware choice."""
    check = refit.stability
    if check is None:
        return
    show_table(_tried(check.tried), "Survival of the candidates")
    st.caption(
        f"NVE over {check.picoseconds:g} ps at {check.temperature:g} K, all heads from the same "
        "initial states. Chosen: the lowest held-out divergence among those that lost no more "
        "replicas than the default."
    )
    if check.confirmation:
        st.markdown("**Confirmation from new initial states**")
        show_table(
            _tried(check.confirmation),
            "Survival of the default and the chosen head from new initial states",
        )


def _tried(heads: Sequence[Tried]) -> pd.DataFrame:
    """A row a head, without what is known of none."""
    return pd.DataFrame([_row(one) for one in heads]).dropna(axis="columns", how="all")


def _row(one: Tried) -> dict[str, str | None]:
    default = math.isinf(one.ridge)
    points = [100 * value for value in (one.difference, one.low, one.high)]
    return {
        "head": "default head" if default else f"λ = {figures.ridge_label(one.ridge)}",
        "alive": f"{one.survivors} of {one.replicas}",
        "mean life (ps)": f"{one.mean_life:.3g}",
        "against default (points)": (
            None if default else "{:+.0f} [{:+.0f}, {:+.0f}]".format(*points)
        ),
        "divergence (eV²/Å²)": None if one.divergence is None else f"{one.divergence:.4g}",
    }


def descent(refit: Refit, key: str) -> None:
    """Gradient descent on its way."""
    if refit.descent is None:
        return
    draw(figures.descent_figure(refit.descent), key=f"{key} descent")
    st.caption(
        f"{refit.descent.steps[-1]:,} steps with momentum end {refit.descent.distance[-1]:.1e} of "
        "|θ*| away from what the closed form gives in one."
    )
