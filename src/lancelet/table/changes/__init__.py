"""What a method of a dataset does: writes files, removes rows, changes columns, cleans up, validates."""
