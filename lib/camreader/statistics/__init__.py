"""Statistics with intervals, and words where they fail.

intervals: proportions and their 95 % intervals, by case and by cluster
proportions: two separate proportions: exact test, interval, sample size
agreement: agreement of two raters or several
classification: accuracy, AUC, calibration of one classifier
mrmc: several readers and several cases (a package of its own)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
