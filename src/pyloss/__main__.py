"""``python -m pyloss`` is the command ``pyloss``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
