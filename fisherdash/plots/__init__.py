"""Figures, returned and never shown: a Plotly figure with a sentence that says what is to be
seen and the table of its numbers, or a picture as SVG."""
