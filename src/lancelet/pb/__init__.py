"""Messages of the format, generated from ``protos``: change them there and run ``make protos``."""
