"""Label structures with a reference method: ``ase-schnet label POOL --reference REF -o LABELS``."""

from __future__ import annotations

import argparse
import sys

from ase_schnet.cli.faults import GOES_ON, when_stopped
from ase_schnet.cli.inputs import add_no_pbc, add_structure_options, read_structures, unbox
from ase_schnet.cli.outputs import check_outputs

HELP = "Compute energies and forces of structures with a reference method, as training data."
EXAMPLE = """\
examples:
  ase-schnet label pool.extxyz --reference gfn2-xtb -o cheap.extxyz
  ase-schnet label chosen.extxyz --reference pyscf:PBE/def2-SVP -o dear.extxyz --jobs 2
  ase-schnet label ions.extxyz --reference pyscf:PBE0/def2-TZVP --charge 1 --multiplicity 2 -o cations.extxyz
  ase-schnet label chosen.extxyz --reference orca.py:pbe -o dear.extxyz --scheduler tcp://node17:8786

REF is one of
  gfn2-xtb, gfn1-xtb       by tblite, electronic temperature 5000 K; gfn2-xtb:300 for another one in K. Of a
                           crystal it sees the Γ point only: take large cells
  pyscf:FUNCTIONAL/BASIS   by pyscf, for molecules: restricted for singlets, else unrestricted, with density
                           fitting. May end in :exact (no density fitting), :fine (finer integration grid),
                           :uks (singlets too, where unpairing lowers the energy, as of a broken bond;
                           such take ten times as long, others a third longer), or several of them
  MODEL                    a model directory or the name of a shipped model
  FILE.py:NAME             NAME in the script is an ASE calculator, or a function that returns one and may
                           take charge and multiplicity:
                             def pbe(charge=0, multiplicity=1):
                                 return ORCA(profile=PROFILE, charge=charge, mult=multiplicity,
                                             orcasimpleinput="PBE def2-SVP EnGrad")
                             pbe.level_of_theory = "PBE/def2-SVP"

LABELS is extended xyz in the order of POOL; every structure keeps its info, and gets level_of_theory. Each
label is on disk (LABELS.journal) as soon as it is there. After Ctrl-C, a kill or a full disk the same command
goes on, and computes nothing twice, also if POOL has grown. Structures whose calculation fails are skipped,
and listed by their reasons; --retry-failed tries them again.

On a cluster: start a Dask scheduler and workers with one thread each, on a file system that all of them see,
and give its address. For Slurm, with the package dask-jobqueue:
  from dask_jobqueue import SLURMCluster
  cluster = SLURMCluster(cores=1, memory="4GB", walltime="08:00:00")
  cluster.scale(jobs=100)
  print(cluster.scheduler_address)
In Python, ase_schnet.label_structures(frames, REF, path, executor=...) takes any executor: that of Dask
(Client(cluster).get_executor()) or, for Slurm without Dask, that of executorlib (SlurmClusterExecutor()).

exit code: 0 all or some labelled, 1 none, 2 bad input, 130 stopped by Ctrl-C or SIGTERM
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add(
        "pool",
        metavar="POOL",
        help="structures: any file that ase-schnet reads; labels are ignored",
    )
    add("--reference", required=True, metavar="REF", help="reference method, see below")
    add("-o", "--output", required=True, metavar="LABELS", help="extxyz file to write")
    text = "processes of this machine, one thread each (default: number of cores)"
    add("--jobs", type=int, metavar="N", help=text)
    text = "Dask scheduler in place of processes here: tcp://HOST:PORT or its scheduler file"
    add("--scheduler", metavar="ADDRESS", help=text)
    text = "total charge of all structures, e (default: what each states, else 0)"
    add("--charge", type=int, metavar="Q", help=text)
    text = (
        "2S + 1 of all structures (default: what each states, else 1; a molecule with an odd number of "
        "electrons must state it, or its charge)"
    )
    add("--multiplicity", type=int, metavar="M", help=text)
    add_no_pbc(add)
    text = "longest time of one label, s; what takes longer has failed (default: no limit)"
    add("--time-limit", type=float, metavar="S", help=text)
    text = "compute those again that have failed before"
    add("--retry-failed", action="store_true", help=text)
    text = "go on although a process of another host is noted as writing LABELS; it must have ended"
    add("--take-over", action="store_true", help=text)
    add_structure_options(parser)


def run(args: argparse.Namespace) -> int:
    """Read, label, write, and print what was labelled; return the exit code."""
    from contextlib import nullcontext

    from ase_schnet.labelling.cluster import scheduler
    from ase_schnet.labelling.label import label_structures
    from ase_schnet.labelling.reference import read_reference

    check_outputs(files=[args.output], inputs=[args.pool])
    reference = read_reference(args.reference)
    if args.time_limit is not None:
        reference = reference.within(args.time_limit)
    frames = read_structures(args.pool, args)
    if args.no_pbc:
        frames = [unbox(atoms, f"{args.pool}: structure {k}") for k, atoms in enumerate(frames)]
    kept = f"the labels so far are kept in {args.output}.journal"
    cluster = scheduler(args.scheduler) if args.scheduler else nullcontext()
    with when_stopped(f"{kept}. {GOES_ON}"), cluster as executor:
        result = label_structures(
            frames,
            reference,
            args.output,
            executor=executor,
            jobs=args.jobs,
            charge=args.charge,
            multiplicity=args.multiplicity,
            retry_failed=args.retry_failed,
            take_over=args.take_over,
        )
    warning = result.warning()
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{args.output if result.frames else 'nothing written'}: {result.summary()}")
    return 0 if result.frames else 1
