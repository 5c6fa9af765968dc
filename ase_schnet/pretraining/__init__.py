"""Cheap labels for the shape of the surface, dear ones for its accuracy."""
