"""Does the heat-map help readers, and how large a study would tell? (notebook 08)

study: one study, from a log, a file of scores, or a simulation
tables: who did how well, what the heat-map changed, how long it took
marking: where readers pointed: wAFROC, LROC
displays: on what screens the study was read
map_effect: what the map did: stage by stage, by where it lay, and how readers relied on it
break_even: for which error rate and prevalence it would pay
subgroups: who gained, by the readers' profile
endpoints: GEE, times, confidence, net benefit, the network as a rater
findings: sentences computed from the tables, and the checklists
planning: the size of the next study
plots: the figures of notebook 08
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
