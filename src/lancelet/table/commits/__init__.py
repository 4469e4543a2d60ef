"""Which manifest follows: a change is built on the latest version, judged against what others did, and put there (dataset.md 3)."""
