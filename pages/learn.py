"""Learn: score matching on a landscape that can be seen, then the same steps on a molecule."""

from typing import Any

import streamlit as st

from fisherdash import learn
from pages.ui.charts import show_lesson
from pages.ui.progress import onward

SOURCES: dict[learn.Source, str] = {
    "boltzmann": "a Boltzmann sample",
    "hot": f"a sample {learn.HOT:g} times as hot",
    "even": "spread evenly",
}
MODELS: dict[learn.Model, str] = {
    "own": "the four of the truth",
    "gaussians": "25 round Gaussians",
    "many": "64 narrow Gaussians",
}
STEPS = (
    "Drag the circle and watch J and your landscape. Then press **Closed form**: one step.",
    "Press **Descend**: the same place, in many small steps, slow along the flat directions of "
    "the bowl.",
    "Press **From points alone**, then choose points that are *three times as hot* or *spread "
    "evenly*: with forces the fit does not mind, without them it goes wrong.",
    "Choose *25 round Gaussians*, then **Closed form** and **Run dynamics**; then the same with "
    "30 points. J is at its lowest, and yet the landscape may have holes (red) where there are no "
    "points. See what a **ridge** does to them.",
    "Choose *64 narrow Gaussians* and **Closed form**: deep holes. Let λ = 1e-2 hold *forces near "
    "the points*: they close, and J stays low. With λ = 1e-4 *the weights* close them as well, "
    "but J is then twice as high.",
)
"""What to try, one after the other, above the drawing."""


def to_try() -> None:
    """One thing to try at a time, in sight together with what it changes."""
    left, right = st.columns([1.3, 3.6], vertical_alignment="center")
    with left:
        step = st.segmented_control(
            "What to try", range(1, len(STEPS) + 1), default=1, required=True
        )
    right.markdown(STEPS[step - 1])


@st.cache_data(max_entries=64, show_spinner=False)
def drawing(
    source: learn.Source, count: int, model: learn.Model, ridge: float, noise: bool
) -> dict[str, Any]:
    """What the browser draws, computed once for each choice: it is the same for everybody."""
    return learn.payload(learn.lesson(source, count, model, ridge, noise=noise))


@st.fragment
def play() -> None:
    """The choices and the drawing; dragging asks nobody."""
    to_try()
    with st.grid(5, min_column_width=150):
        source = st.selectbox(
            "Points",
            list(SOURCES),
            format_func=lambda name: SOURCES[name],
            help="The fit takes them for a Boltzmann sample at kT = 1. Forces make up for it where "
            "they are not; points alone cannot.",
        )
        count = st.select_slider(
            "Number of points", [30, 100, 300, 1000, 3000, 10000], value=1000,
            help="Few points leave T nearly singular where the model has many functions.",
        )  # fmt: skip
        model = st.selectbox(
            "Functions φ",
            list(MODELS),
            format_func=lambda name: MODELS[name],
            help="With its own four terms the model can be exact; the Gaussians, like a network, "
            "cannot. 64 narrow ones fit the points best and know least away from them.",
        )
        power = st.select_slider(
            "Ridge λ",
            ["none", *(f"1e{power}" for power in range(-8, 2))],
            value="none",
            help="Pulls the solution towards the default head, along the dotted line. In units of "
            "the largest eigenvalue of T, or for noise a pure number.",
        )
        noise = st.selectbox(
            "The ridge holds",
            [False, True],
            format_func=lambda kind: "forces near the points" if kind else "the weights",
            help=f"Forces: at the points displaced by noise of width {learn.SIGMA:g}, without any "
            "label there. That holds the landscape where the data are silent.",
        )
    ridge = 0.0 if power == "none" else float(power)
    show_lesson(drawing(source, count, model, ridge, noise), key="lesson")
    st.caption(
        "One band a kT; dots are the points, orange arrows "
        "the score. In the plane of two weights: blue the default head, orange the closed form, "
        "green from points alone, violet 3,000 steps of gradient descent, dotted the path of the "
        "ridge. Your θ begins at the default head; the other weights stay where they are while "
        "you drag two of them. The arrow keys move it, too."
    )


st.title("Learn")
st.caption(
    "Score matching in ten minutes, on the Müller–Brown potential in two dimensions. J says how "
    "far a model's forces are from the true ones at the points."
)
play()
with st.expander("The formulas", icon=":material/function:"):
    st.markdown(
        "A model whose energy is linear in its last layer, "
        "$U_\\theta(x)=\\theta\\cdot\\varphi(x)$, has the **score** "
        "$s_\\theta=-\\beta\\nabla U_\\theta$: the slope of the logarithm of its Boltzmann "
        "density, $\\beta=1/kT$. The **Fisher divergence** is how far this score is from that of "
        "the data, on average over the data:"
    )
    st.latex(
        r"\begin{aligned}J(\theta)&=\tfrac12\,\beta^2\,\mathbb{E}\,\lVert\nabla U-G\theta\rVert^2\\"
        r"&=\tfrac12\,\theta^{\mathsf T}T\theta-\theta^{\mathsf T}c+\text{const}\end{aligned}"
    )
    st.latex(
        r"\begin{aligned}T&=\beta^2\,\mathbb{E}[G^{\mathsf T}G]\\"
        r"c&=\beta^2\,\mathbb{E}[G^{\mathsf T}\nabla U]\\\theta^\star&=T^{-1}c\end{aligned}"
    )
    st.caption(
        "φ: the fixed functions of the model (descriptors); θ: their weights (the head); "
        "G = ∂φ/∂x: how the functions change with the position x; U: the true energy, −∇U its "
        "force; 𝔼: mean over the points. J is a bowl in θ: its lowest point is found in one step."
    )
    st.markdown("Where the points are a Boltzmann sample, partial integration removes the forces:")
    st.latex(
        r"\begin{aligned}c&=-b\\b&=-\beta\,\mathbb{E}[\Delta\varphi]\\"
        r"\theta^\star&=-T^{-1}b\end{aligned}"
    )
    st.caption("Δφ: Laplacian of the functions. Positions and the temperature are then enough.")
st.subheader("The same on a molecule")
st.markdown(
    "A network computes φ from the positions of all atoms, and its last layer is θ. Ethanol has 27 "
    "coordinates instead of two; the formulas are the same."
)
with st.container(horizontal=True):
    onward("data", "Points: a Boltzmann sample of ethanol")
    onward("refit", "θ*: re-fit the last layer")
    onward("simulate", "Dynamics of both heads")
