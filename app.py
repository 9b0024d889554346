"""FisherDash in the browser: a router, and the jobs at work beside every page."""

import streamlit as st

from fisherdash import submit
from fisherdash.background import keep_compilations, wake_devices
from fisherdash.workspace import users
from pages.ui.progress import question, running_jobs
from pages.ui.server import may_enter, sign_in, sign_out

keep_compilations()
wake_devices()

st.set_page_config(page_title="FisherDash", page_icon="static/icon.png", layout="wide")
st.html(
    "<style>[data-testid=stMainBlockContainer] { padding: 3.75rem clamp(1rem, 2.5vw, 4rem) 3rem }"
    "[class*=st-key-step-] [data-testid=stPageLink] { margin-left: -0.5rem }"
    # In Streamlit's own colours these have too little contrast with their ground.
    "button[data-variant][data-selected], [role=tab][data-selected],"
    "[data-testid=stCode] .token.parameter { color: inherit !important }</style>"
)
welcome = may_enter()

page = st.navigation(
    [
        st.Page("pages/home.py", title="Home", icon=":material/home:", default=True),
        st.Page("pages/data.py", title="Data", icon=":material/dataset:"),
        st.Page("pages/train.py", title="Train", icon=":material/model_training:"),
        st.Page("pages/refit.py", title="Re-fit", icon=":material/tune:"),
        st.Page("pages/simulate.py", title="Simulate", icon=":material/play_circle:"),
        st.Page("pages/drift.py", title="Drift and 3D", icon=":material/ssid_chart:"),
        st.Page("pages/trajectories.py", title="Drift and 3D", visibility="hidden"),
        st.Page("pages/compare.py", title="Compare", icon=":material/table_chart:"),
        st.Page("pages/files.py", title="Models & files", icon=":material/folder:"),
        st.Page("pages/study.py", title="Study", icon=":material/groups:"),
        st.Page("pages/learn.py", title="Learn", icon=":material/school:"),
    ],
    position="sidebar" if welcome else "hidden",
)
if not welcome:
    sign_in()
    st.stop()
with users.acting_for(users.current()):  # looked up once
    submit.put_back()
    with st.sidebar:
        at_work = st.container()
        sign_out()
    asked = st.container()
    page.run()
    with asked:  # after the page, which may just have asked for a large job
        question()
    with at_work:  # after the page, which may just have begun a job
        running_jobs()
