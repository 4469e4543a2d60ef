"""Benchmarks of datasets: appends, scans, takes and compactions, by the engines that have datasets."""
