"""File version 2.0: a page is a tree of array encodings (encodings_v2_0.md).

Every node of the tree is a class of its own that reads rows; what makes the node stands in the same module. Nodes are found by
the name of their member in ``lance.encodings.ArrayEncoding``. Columns above leaves (offsets of lists, headers of structs) are
columns of their own here, so a read goes in steps: offsets, then items; indices, then bytes. See :mod:`lancelet.v20.fetch`.
"""
