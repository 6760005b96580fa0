from . import classes as classes
from . import groups as groups
from . import leakage as leakage
from . import plots as plots
from . import protocols as protocols
from . import regions as regions
