"""Drawing a figure: the chart, its sentence for screen readers, and the table of its numbers."""

import pandas as pd
import streamlit as st

from fisherdash.view.figure import Figure


def draw(figure: Figure, *, key: str, table: bool = True) -> None:
    """Draw a figure of :mod:`fisherdash.view`; the table of its numbers is folded away."""
    st.echarts_chart(figure.option, alt=figure.alt, height=figure.height, key=key)
    if table and len(figure.table):
        with st.expander("The numbers", icon=":material/table:"):
            st.dataframe(figure.table, hide_index=True, height=260, alt=figure.alt)
            csv_button(figure.table, key)


def csv_button(table: pd.DataFrame, name: str) -> None:
    """Take a table away as CSV; the text is made at the click."""
    st.download_button(
        "Download as CSV",
        data=lambda: table.to_csv(index=False).encode(),
        file_name=f"{name.replace(' ', '-')}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=f"{name} csv",
    )
