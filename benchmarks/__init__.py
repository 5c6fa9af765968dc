"""Speed against other packages; `python -m benchmarks.peers --help`. Not part of the installed package."""
