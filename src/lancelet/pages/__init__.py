"""Page layouts of 2.1 and later: leaf to buffers and back, one file each. See ``base`` for the contract."""
