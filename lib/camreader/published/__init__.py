"""The paper's tables and claims, recomputed (notebook 05).

paper: the published tables and numbers, cell by cell, each with its status
tables: the tables of notebook 05
verdicts: what recomputing a claim can give
readings: claims about the 16 readings
numbers: claims about percentages, counts and equations
claims: the ledger of all claims
plots: the published readings, their agreement, the ledger
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
