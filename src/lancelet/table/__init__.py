"""The dataset: many data files, deletions and versions of them, held together by manifests (dataset.md)."""
