"""`python -m longtake` is `longtake`."""

from __future__ import annotations

from longtake.cli import main

if __name__ == "__main__":
    main()
