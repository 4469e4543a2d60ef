"""Codecs: blocks to buffers and back, one file each. See ``base`` for the three roles and ``registry`` for how they are found."""
