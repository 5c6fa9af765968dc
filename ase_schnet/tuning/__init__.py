"""Search for hyperparameters: which network, loss and fit give the smallest validation errors.

recipe + space ─► trials (short trainings of one fold, pruned) ─► settings.json ─► train --settings
"""
