from . import catalogue as catalogue
from . import failures as failures
from . import new_study as new_study
from . import page as page
from . import progress as progress
from . import repair as repair
from . import summary as summary
from . import workflow as workflow
