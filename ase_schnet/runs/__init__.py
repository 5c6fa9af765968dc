"""Keep a run on disk and judge it, whoever moves the atoms."""
