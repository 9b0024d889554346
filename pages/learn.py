"""Learn: score matching on a landscape that can be seen, then the same steps on a molecule."""

import streamlit as st

from fisherdash.plots import lesson
from pages.ui.charts import show_lesson
from pages.ui.progress import onward

SOURCES: dict[lesson.Source, str] = {
    "boltzmann": "a Boltzmann sample",
    "hot": f"a sample {lesson.HOT:g} times as hot",
    "even": "spread evenly",
}


@st.fragment
def play() -> None:
    """The choices and the drawing; dragging asks nobody."""
    with st.grid(4, min_column_width=170):
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
        exact = st.selectbox(
            "Functions φ",
            [True, False],
            format_func=lambda own: "the four of the truth" if own else "25 round Gaussians",
            help="With its own four terms the model can be exact; the Gaussians, like a network, "
            "cannot.",
        )
        power = st.select_slider(
            "Ridge λ",
            ["none", *(f"1e{power}" for power in range(-8, 2))],
            value="none",
            help="In units of the largest eigenvalue of T: pulls the solution towards the default "
            "head, along the dotted line.",
        )
    made = lesson.lesson(source, count, exact, 0.0 if power == "none" else float(power))
    show_lesson(lesson.payload(made), key="lesson")
    st.caption(
        "Dark is low, one band a kT, red lower than any point; dots are the points, orange arrows "
        "the score. In the plane of two weights: blue the default head, orange the closed form, "
        "green from points alone, violet 3,000 steps of gradient descent, dotted the path of the "
        "ridge. Your θ begins at the default head; the other weights stay where they are while "
        "you drag two of them. The arrow keys move it, too."
    )


st.title("Learn")
st.caption("Score matching in ten minutes, on the Müller–Brown potential in two dimensions.")
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
play()
st.subheader("What to try")
st.markdown(
    "1. Drag the circle and watch J and your landscape. Then press **Closed form**: one step.\n"
    "2. Press **Descend**: the same place, in many small steps, slow along the flat directions "
    "of the bowl.\n"
    "3. Press **From points alone**, then choose points that are *three times as hot* or *spread "
    "evenly*: with forces the fit does not mind, without them it goes wrong.\n"
    "4. Choose *25 round Gaussians*, then **Closed form** and **Run dynamics**; then the same with "
    "30 points. J is at its lowest, and yet the landscape may have holes (red) where there are no "
    "points. See what a **ridge** does to them.\n"
)
st.subheader("The same on a molecule")
st.markdown(
    "A network computes φ from the positions of all atoms, and its last layer is θ. Ethanol has 27 "
    "coordinates instead of two; the formulas are the same."
)
with st.container(horizontal=True):
    onward("data", "Points: a Boltzmann sample of ethanol")
    onward("refit", "θ*: re-fit the last layer")
    onward("simulate", "Dynamics of both heads")
