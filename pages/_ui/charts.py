"""Drawing a figure: the chart, its sentence for screen readers, and the table of its numbers."""

from typing import Any

import pandas as pd
import streamlit as st

from fisherdash.view.figure import Figure


def draw(figure: Figure, *, key: str, table: bool = True) -> None:
    """Draw a figure of :mod:`fisherdash.view`; the table of its numbers is folded away."""
    st.echarts_chart(figure.option, alt=figure.alt, height=figure.height, key=key)
    if table and len(figure.table):
        numbers(figure, key)


def numbers(figure: Figure, name: str) -> None:
    """The numbers of a figure, folded away."""
    with st.expander("The numbers", icon=":material/table:"):
        show_table(figure.table, figure.alt, rounded=False, height=260)
        csv_button(figure.table, name)


def show_table(table: pd.DataFrame, alt: str, *, rounded: bool = True, **options: Any) -> Any:
    """A table without its index, a dash where a value is missing; what ``st.dataframe`` returns.

    Args:
        table: one row a line, units in the names of the columns.
        alt: what it is, for those who cannot see it.
        rounded: numbers with a fraction have three significant digits.
        options: of ``st.dataframe``.
    """
    broken = table.select_dtypes("float").columns if rounded else ()
    return st.dataframe(
        table,
        hide_index=True,
        placeholder="–",
        column_config={name: st.column_config.NumberColumn(format="%.3g") for name in broken},
        alt=alt,
        **options,
    )


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
