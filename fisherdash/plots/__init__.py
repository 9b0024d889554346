"""Figures, returned and never shown: an ECharts option with a sentence that says what is to be
seen and the table of its numbers, or a picture as SVG."""
