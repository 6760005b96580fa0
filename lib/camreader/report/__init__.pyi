from . import catalogue as catalogue
from . import gallery as gallery
from . import page as page
from . import repair as repair
from . import summary as summary
from . import workflow as workflow
