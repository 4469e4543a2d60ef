"""The version of this package, three numbers: manifests name it, and readers parse it.

The build reads it here; looking it up among all installed packages would take milliseconds.
"""

__all__ = ["VERSION"]

VERSION = "0.1.0"
