"""Study whether augmentation improves SchNet outside its data: benchmarks/augmentation.md.

OMP_NUM_THREADS=1 python md_examples/10_augmentation_study/run.py            # all that is missing
OMP_NUM_THREADS=1 python md_examples/10_augmentation_study/run.py --jobs 3   # three more trainings
OMP_NUM_THREADS=1 python md_examples/10_augmentation_study/run.py --jobs 0   # the text, from what is there

Needs tblite and the data in ../shared/data. A training takes two minutes. Finished trainings are kept and an
interrupted one continues. Do not run two of these at once.
"""

import argparse

import torch
from jobs import JOBS, check_settings, directory, train

from ase_schnet.modelfile import CARD


def main() -> None:
    """Train what is missing, then write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=len(JOBS), help="trainings at most")
    parser.add_argument("--no-report", action="store_true", help="only train")
    args = parser.parse_args()
    torch.set_num_threads(1)
    check_settings()
    left = [job for job in JOBS if not (directory(*job) / "model" / CARD).exists()]
    for job in left[: args.jobs]:
        print(*job, flush=True)
        train(*job)
    if not args.no_report:
        from report import write

        print(f"written: {write()}")


if __name__ == "__main__":
    main()
