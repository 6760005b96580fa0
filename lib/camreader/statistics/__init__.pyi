from . import agreement as agreement
from . import classification as classification
from . import intervals as intervals
from . import mrmc as mrmc
from . import proportions as proportions
