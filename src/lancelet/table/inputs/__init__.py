"""What users give: where a dataset lies, rows, arguments in the words of others."""
