from . import claims as claims
from . import numbers as numbers
from . import paper as paper
from . import plots as plots
from . import readings as readings
from . import tables as tables
from . import verdicts as verdicts
from .paper import load as load
