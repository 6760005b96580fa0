"""The reading session: from a sealed design to one row per answer (notebook 07).

questions: what a reader may answer, checked field by field
plan: which cases are read, in which order, by whom
prepare: the cases drawn, their truth sealed, the design stored
sealed: truth, answer and heat-map in envelopes that open after the lock
database: the log's tables, in SQLite or PostgreSQL
log: append-only events, on disk before the next case shows
progress: one reader's way through the study
widget: the page and the kernel behind it
server: `make read`: the session as a page of its own
tidy: one row per answer
export: events as JSON, scores as .imrmc
simulate: readings drawn from a model, marked as simulated
replay: simulated readings sent through a real log
overview: a reading as it was set up, giving no case away
plots: the design as a figure
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
