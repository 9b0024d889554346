"""Figures and viewer data: made here, returned, never shown.

A figure is an ECharts option (plain data that any ECharts can draw) with a title, a sentence for
those who cannot see it and the table of its numbers. The 3D viewer is ``viewer.js`` with the data
that ``viewer.payload`` makes for it.
"""
