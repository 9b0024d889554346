"""Figures, tables and pictures of a population of models."""
