"""Writes the variables of a TensorFlow checkpoint as one .npz file: variables_to_npz.py model.ckpt-200004 OUT.npz

Needs numpy and tensorflow alone, so it may run in an environment of its own.
"""

from __future__ import annotations

import sys

import numpy as np


def main(arguments: list[str]) -> int:
    """0 when written, 2 when called wrongly."""
    if len(arguments) != 2:
        print("usage: variables_to_npz.py CHECKPOINT OUT.npz", file=sys.stderr)
        return 2
    from tensorflow.train import load_checkpoint

    reader = load_checkpoint(arguments[0])
    names = reader.get_variable_to_shape_map()
    np.savez(arguments[1], **{name: reader.get_tensor(name) for name in names})
    print(f"{len(names)} variables: {arguments[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
