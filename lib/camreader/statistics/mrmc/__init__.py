"""Several readers, several cases: is one modality read better than another?

Needs numpy, scipy and pandas alone.

io: scores of a reader study from .imrmc and CSV files, checked row by row
figures_of_merit: empirical AUC, sensitivity, specificity, and the points of a ROC curve
covariance: covariances between arms that share cases: jackknife, DeLong, unbiased
anova: the Obuchowski-Rockette analysis of variance on arrays
analysis: the analysis of a study: estimates, test, intervals, warnings
ustatistics: the variance where readers read different cases
roe_metz: simulated studies with known truth
power: readers and cases of the next study
"""

from camreader.statistics.mrmc.analysis import obuchowski_rockette, read_scores
from camreader.statistics.mrmc.ustatistics import u_statistics

__all__ = ["obuchowski_rockette", "read_scores", "u_statistics"]
