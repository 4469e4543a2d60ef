"""``python -m lancelet.cli``."""

from __future__ import annotations

import sys

from lancelet.cli import main

sys.exit(main())
