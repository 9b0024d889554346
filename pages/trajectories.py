"""The former page of trajectories: links to it lead to drift and molecules on one screen."""

import streamlit as st

st.switch_page("pages/drift.py", query_params=st.query_params.to_dict())
