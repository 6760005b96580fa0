"""Several readers, several cases: is one modality read better than another?

Needs numpy, scipy and pandas alone.

io: scores of a reader study from .imrmc and CSV files, checked row by row
marks: free-response readings from CSV files and JAFROC workbooks
figures_of_merit: empirical AUC, sensitivity, specificity, and the points of a ROC curve
merits: figures of merit of scores with the covariances of all arms
binormal: the binormal ROC curve of one arm
covariance: covariances between arms that share cases: jackknife, DeLong, unbiased, clustered
anova: the Obuchowski-Rockette analysis of variance on arrays
checks: what an analysis of scores or marks rests on: accuracies, covariances, what was left out
nested: readers nested in modalities
analysis: the analysis of a study: estimates, test, intervals, warnings
ustatistics: the variance where readers read different cases
margins: non-inferiority and equivalence
standalone: a network against readers
roe_metz: simulated studies with known truth
power: readers and cases of the next study
options: options that several statistics share
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
