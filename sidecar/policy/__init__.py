"""What is decided about a request, and nothing else: no sockets, no clock, no chance, no log of its own.

Clocks and sources of chance are arguments, so the same objects serve traffic, run in virtual time and stand
in property tests. One module per policy; `outcome` and `reasons` are the words that they share.
"""
