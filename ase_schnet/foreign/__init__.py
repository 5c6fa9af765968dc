"""Trained SchNets of other packages, read as data and written as our model directories."""
