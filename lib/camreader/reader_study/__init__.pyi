from . import findings as findings
from . import planning as planning
from . import plots as plots
from . import study as study
from . import tables as tables
from .study import load as load
