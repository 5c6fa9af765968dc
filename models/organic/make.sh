#!/bin/sh
# All of models/organic anew, from seeds: sh models/organic/make.sh WORK_DIR [SECONDS_OF_LABELLING]
# Labels of all molecules take an hour of a core; a stopped call goes on where it was.
set -e
here=$(dirname "$0")
work=$1
seconds=${2:-1000000}
export OMP_NUM_THREADS=1
python "$here/molecules.py" "$work"
for part in new larger group conformers; do python "$here/frames.py" "$work" $part; done
python "$here/frames.py" "$work" train "$seconds"
for part in small dimers rings; do python "$here/frames.py" "$work" $part "$seconds"; done
python "$here/train.py" "$work" "$work/organic"
python "$here/evaluate.py" "$work" "$work/organic"
