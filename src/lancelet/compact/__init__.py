"""Compaction: rows of many data files in few, by moving bytes where that is safe (dataset.md 7)."""
