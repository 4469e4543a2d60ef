"""Conditions and expressions over columns: SQL text or pyarrow expressions."""
