"""FisherDash in the browser: a router, and the jobs at work beside every page."""

import streamlit as st

from app_pages._ui.sidebar import running_jobs
from fisherdash.compilation import keep_compilations

keep_compilations()

st.set_page_config(page_title="FisherDash", page_icon="static/icon.png", layout="wide")

page = st.navigation(
    [
        st.Page("app_pages/home.py", title="Home", icon=":material/home:", default=True),
        st.Page("app_pages/data.py", title="Data", icon=":material/dataset:"),
        st.Page("app_pages/train.py", title="Train", icon=":material/model_training:"),
        st.Page("app_pages/refit.py", title="Re-fit", icon=":material/tune:"),
        st.Page("app_pages/simulate.py", title="Simulate", icon=":material/play_circle:"),
        st.Page("app_pages/drift.py", title="Drift", icon=":material/ssid_chart:"),
        st.Page("app_pages/trajectories.py", title="Trajectories", icon=":material/view_in_ar:"),
    ]
)
with st.sidebar:
    running_jobs()
page.run()
