"""Other implementations as judges: one child process per release of pylance."""

from oracle.client import RELEASES, Oracle, OracleCrashed, OracleError, oracle

__all__ = ["RELEASES", "Oracle", "OracleCrashed", "OracleError", "oracle"]
