"""The implementations that are compared, one module each behind the same few verbs (:class:`~benchmarks.engines.base.Engine`)."""
