"""What lies in the files of a dataset, and how it is read and written: names, manifests, changes, deletions, row ids, tags."""
