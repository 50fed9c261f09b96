"""Train a model on a dataset, evaluate it and its baselines, and write a complete run directory: seqlab train.

python run.py model=transformer data=L5
python run.py -m model=transformer,lstm,linear data=L1,L3,L5 seed=1,2
"""

import sys

from seqlab.starting import starting

if __name__ == "__main__":
    starting()

from seqlab.training import main

if __name__ == "__main__":
    sys.exit(main())
