"""One page about a run, a model, a scan or a learning: verdicts, pictures, structures to click through.

``write`` says what lies at a path and writes the page; ``of_run``, ``of_model``, ``of_scan`` and
``of_learning`` collect what it says; ``page`` makes HTML of it and ``viewer`` shows structures in chemiscope.
"""
