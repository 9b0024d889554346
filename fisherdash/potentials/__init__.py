"""Potentials: the trained network and what is kept of it."""
