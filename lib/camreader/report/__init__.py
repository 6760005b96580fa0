"""The whole study as one command and one page.

workflow: `make report`: parameters checked, one run at a time, Snakemake started
progress: one line per job while it runs
failures: why a job failed, in words: notebook, cell, line, error
repair: damaged intermediate files removed before a run
new_study: `camreader new`: a study folder from the installed package
catalogue: what every notebook shows: figures and tables with their captions
summary: the front page's numbers and words
page: reports/index.html
board: where the study stands, for the start page of JupyterLab
provenance: which notebook, code and inputs made what; the run as an RO-Crate
paper: a finished run as a manuscript
paper_files: the pieces that it is made of; PDF by Typst, and Word
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
