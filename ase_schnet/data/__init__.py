"""Labelled structures from files, in package units: reading, packing, splitting, sampling."""
