"""The bench on which claims of published systems are proven: worlds, shared codecs, films, measures.

A recipe's `PROOF` says what is expected; its experiment is given a `Lab` and yields what it found.
"""
