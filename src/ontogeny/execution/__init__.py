"""Running jobs in this process or on workers: same results, one progress display, and no loss to a killed worker."""

from ontogeny.execution.jobs import Executor as Executor
from ontogeny.execution.jobs import Job as Job
from ontogeny.execution.jobs import WorkerLost as WorkerLost
from ontogeny.execution.processes import Processes as Processes
from ontogeny.execution.processes import default_executor as default_executor
from ontogeny.execution.serial import Serial as Serial
