"""One column of a record batch: accumulated to pages on the way down, put together again on the way up."""
