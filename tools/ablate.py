"""Trains and measures the rows of a table of ablations: python tools/ablate.py FILE.yaml DATA OUT [overrides].

Stopped and started again it goes on; `configs/ablation` has tables.
"""

from __future__ import annotations

import sys
from pathlib import Path

from univs.errors import UserError
from univs.training.ablation import run_ablation

if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    file, root, out, *more = sys.argv[1:]
    try:
        print(run_ablation(Path(file), Path(root).resolve(), Path(out).resolve(), more))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
