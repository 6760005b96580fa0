"""What every room stands on: errors, tables, files, the study's folders, style.

errors: bad input, said in words
advice: what to do about a refusal
tables: the tables that notebooks hand each other, checked against their schema
rows: a table that a person wrote: read rightly, or refused by row and column
workbooks: the sheet of an .xlsx as the text of a table
storage: files that are whole or absent: atomic writes, tables, JSON; digests
study: where one study keeps its tables, runs, readings and results
configuration: what config.yaml and the notebooks' parameter cells say
own_code: a function in a Python file that somebody names
crate: what a folder holds, by digest, for a deposit
machine: what differs between operating systems
source: which modules stand behind a notebook, and a digest of their code
style: one look for every figure, and saving it
text: numbers in sentences
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
