from . import catalogue as catalogue
from . import failures as failures
from . import gallery as gallery
from . import page as page
from . import progress as progress
from . import repair as repair
from . import summary as summary
from . import workflow as workflow
