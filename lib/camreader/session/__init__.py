"""The reading session: from a sealed design to one row per answer (notebook 07).

questions: what readers are asked; page, log, tables and analysis follow the list
marks: where a reader points, and whether a lesion is there
stages: what is shown beside a slice, in which order, to whom
plan: which cases are read, in which order, by whom
protocol: what the readings will be asked, sealed before the first answer
prepare: the cases drawn, their truth sealed, the design stored
belonging: whether a reading is one of this cohort, told by content
stacks: the slices above and below a case
display: the check of a reader's screen before a session
lesions: where the lesions of a case are, for its sealed truth
sealed: truth, answer and heat-map, encrypted until the answer is locked
database: the log's tables in SQLite or PostgreSQL
log: append-only events, on disk before the next case shows
progress: one reader's way through the study
widget: the page and the kernel behind it
lookup: which study is read, and with which parameters
wire: what travels between a served page and its session
seats: who sits at the served session
links: `camreader links`: one secret link per reader
door: who asks a served reading, and whether the link is right
admin: its admin page: who is how far, pause a reader, export
certificate: a certificate for a reading room that has none
server: `make read`: the session as a page of its own, and for a reading room
tidy: one row per answer; export as CSV, JSON and .imrmc
reader_model: readers whose true effects are parameters
invented: readings that no person made, told where a file lost the word
simulate: readings drawn from a model, marked as simulated, sent through a log
simulate_marks: where simulated readers point
mark_table: marks from the log: tables, JAFROC workbook
overview: tables and sentences about the design that reveal no case
plots: the design as a figure
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
