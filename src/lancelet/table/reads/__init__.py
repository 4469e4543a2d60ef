"""Rows of a version: files kept open, fragments, projections, scans and takes."""
