"""Drawing a figure: the chart, its sentence for screen readers, and the table of its numbers."""

import streamlit as st

from fisherdash.view.figure import Figure


def draw(figure: Figure, *, key: str, table: bool = True) -> None:
    """Draw a figure of :mod:`fisherdash.view`; the table of its numbers is folded away."""
    st.echarts_chart(figure.option, alt=figure.alt, height=figure.height, key=key)
    if table and len(figure.table):
        with st.expander("The numbers", icon=":material/table:"):
            st.dataframe(figure.table, hide_index=True, height=260, alt=figure.alt)
