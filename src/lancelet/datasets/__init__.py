"""Datasets as users see them: what the layers below offer, under the names that users know."""
